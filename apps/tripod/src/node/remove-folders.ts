import { rmdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { isNodeError, type Layout, TripodError } from "@tripod/base";
import { mountInfo } from "@tripod/linux";
import { ownDrivers } from "./driver-processes.ts";
import { conflistName } from "./pod-network.ts";

export const isUnder = (path: string, dir: string): boolean => path === dir || path.startsWith(`${dir}/`);

/** What this instance alone made, and the folders around it that others may share: those go when they are empty. */
function foldersOf(layout: Layout): { readonly own: readonly string[]; readonly around: readonly string[] } {
  const { root, kubeletDir, cniConfDir, cniDataDir, certsDir, etcDir } = layout;
  const own = [layout.podLogsDir, layout.kubeconfig, join(cniConfDir, conflistName)];
  // By these an instance is known: they go last, so that tripod down can be run again after a failure.
  const last = [layout.runDir, layout.libDir];
  if (root !== undefined) {
    own.push(kubeletDir, layout.cniBinDir, ...last);
    return { own, around: [cniConfDir, join(root, "cni"), join(root, "log"), certsDir, etcDir, root] };
  }
  const drivers = Object.values(ownDrivers).map((name) => join("plugins", name));
  own.push(...["pods", ...drivers, "plugins/kubernetes.io/csi"].map((dir) => join(kubeletDir, dir)));
  own.push(join(cniDataDir, layout.bridge), join(cniDataDir, ".tripod-index"), ...last);
  const kubelet = ["plugins/kubernetes.io", "plugins", "plugins_registry", ""].map((dir) => join(kubeletDir, dir));
  return { own, around: [...kubelet, cniDataDir, cniConfDir, certsDir, etcDir] };
}

/** Removes the instance's files. Refuses while anything is mounted among them: what is mounted is not ours to delete. */
export async function removeFolders(layout: Layout): Promise<void> {
  const { own, around } = foldersOf(layout);
  const mounted = mountInfo().find((entry) => own.some((dir) => isUnder(entry.mountPoint, dir)));
  if (mounted !== undefined) {
    const what = `remove folders: ${mounted.mountPoint} is still mounted; unmount it and run tripod down again`;
    throw new TripodError("failed-precondition", what);
  }
  for (const path of own) {
    try {
      await rm(path, { recursive: true, force: true });
    } catch (cause) {
      if (!isNodeError(cause, "ENOTEMPTY")) throw cause;
      const what = `remove folders: somebody still makes files in ${path}, as a driver does that registers itself; stop that and run tripod down again`;
      throw new TripodError("failed-precondition", what, { cause });
    }
  }
  for (const dir of around) {
    try {
      rmdirSync(dir);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException; // fs throws ErrnoExceptions
      if (code !== "ENOENT" && code !== "ENOTEMPTY") throw error;
    }
  }
}
