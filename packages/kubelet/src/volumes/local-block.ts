import { mkdir, realpath, rmdir, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isNodeError, KeyedMutex } from "@tripod/base";
import { entriesOf } from "./folder-entries.ts";
import { holdDevice, releaseDevice } from "./held-device.ts";
import { podPaths, safeComponent } from "./pod-paths.ts";

export const localPlugin = "kubernetes.io~local-volume";

/** By PersistentVolume: the last Pod to leave takes the folder that the next one holds its device in. */
const locks = new KeyedMutex();

const heldDir = (kubeletDir: string): string => join(kubeletDir, "plugins", localPlugin, "volumeDevices");

interface LocalDevice {
  readonly kubeletDir: string;
  readonly podUid: string;
  /** The PersistentVolume's name. */
  readonly specName: string;
}

/** Makes a local block device ready for a Pod, in upstream's places; returns its path. Repeatable. */
export async function openLocalDevice(path: string, { kubeletDir, podUid, specName }: LocalDevice): Promise<string> {
  const device = await realpath(path);
  const link = podPaths(kubeletDir, podUid).device(localPlugin, specName);
  await mkdir(dirname(link), { recursive: true, mode: 0o750 });
  await symlink(device, link).catch((error: unknown) => {
    if (!isNodeError(error, "EEXIST")) throw error;
  });
  await locks.run(specName, () => holdDevice(device, join(heldDir(kubeletDir), safeComponent(specName), podUid)));
  return device;
}

/** Lets every local block device of the Pod go. Idempotent. The links in the Pod's folder go with that. */
export async function closeLocalDevices(kubeletDir: string, podUid: string): Promise<void> {
  for (const specName of await entriesOf(heldDir(kubeletDir))) {
    const folder = join(heldDir(kubeletDir), specName);
    await locks.run(specName, async () => {
      if (!(await entriesOf(folder)).includes(podUid)) return;
      await releaseDevice(join(folder, podUid));
      await rmdir(folder).catch((error: unknown) => {
        if (!isNodeError(error, "ENOTEMPTY")) throw error;
      });
    });
  }
}
