import { existsSync } from "node:fs";
import { mkdir, rmdir } from "node:fs/promises";
import type { NFSVolumeSource } from "@tripod/api/kubernetes";
import { isNodeError, KeyedMutex, messageOf, runCommand, TripodError } from "@tripod/base";
import { mountInfo, realMountPoint } from "@tripod/linux";
import type { MountedVolume } from "./mounted-volume.ts";

export const nfsPlugin = "kubernetes.io~nfs";

const helper = "/sbin/mount.nfs";
const otherwise = "use a PersistentVolume of nfs.csi.tripod.dev, whose driver mounts by itself where the kernel cannot";

/** How long a server may take to answer, and to be told of an end. What hangs is a process, which can be killed: never the kubelet. */
const mountWithinMs = 120_000;
const unmountWithinMs = 10_000;

/** Asked of the kernel's table: to look at the folder itself waits for the server. */
function isMounted(path: string): boolean {
  const real = realMountPoint(path);
  return mountInfo().some(({ mountPoint }) => mountPoint === real);
}

interface NfsVolumeOptions {
  /** The Pod's folder of the volume. */
  readonly target: string;
  readonly readOnly?: boolean;
  /** As nfs(5) has them. */
  readonly mountOptions?: readonly string[];
  readonly signal: AbortSignal;
}

/** By target: a Pod may have one volume under two names. */
const locks = new KeyedMutex();

/** An export of an NFS server for a Pod, mounted by the kernel, where it is an NFS client, through Debian's nfs-common. Repeatable. */
export async function openNfsVolume(
  { server, path, readOnly: sealed = false }: NFSVolumeSource,
  { target, readOnly = false, mountOptions = [], signal }: NfsVolumeOptions,
): Promise<MountedVolume> {
  const source = `${server.includes(":") && !server.startsWith("[") ? `[${server}]` : server}:${path}`;
  if (server === "" || server.startsWith("-") || !path.startsWith("/"))
    throw new TripodError("invalid", `mount ${source}: needs a server's name or address, and an absolute path`);
  const isReadOnly = readOnly || sealed;
  const options = [...mountOptions, ...(isReadOnly ? ["ro"] : [])].join(",");
  await locks.run(target, async () => {
    if (!isMounted(target)) await mountExport(source, target, { options, signal });
  });
  return { kind: "folder", hostPath: target, readOnly: isReadOnly };
}

async function mountExport(
  source: string,
  target: string,
  { options, signal }: { readonly options: string; readonly signal: AbortSignal },
): Promise<void> {
  const what = `mount ${source}`;
  if (!existsSync(helper))
    throw new TripodError("failed-precondition", `${what}: there is no ${helper}; install nfs-common, or ${otherwise}`);
  await mkdir(target, { recursive: true, mode: 0o750 });
  const words = [source, target, ...(options === "" ? [] : ["-o", options])];
  const env = { ...process.env, LC_ALL: "C" };
  try {
    await runCommand(helper, words, { timeoutMs: mountWithinMs, signal, env });
  } catch (cause) {
    const why = messageOf(cause);
    const kernelCannot = /unknown filesystem type|No such device|not supported by kernel/i.test(why);
    throw new TripodError(
      kernelCannot ? "failed-precondition" : "unavailable",
      kernelCannot ? `${what}: this kernel is no NFS client; ${otherwise}` : `${what}: ${why}`,
      { cause },
    );
  }
}

/** Takes a Pod's mount away, whether its server answers or not, and its folder. Repeatable. */
export async function closeNfsVolume(target: string): Promise<void> {
  while (isMounted(target)) {
    // At once for everybody; the process then waits for what is not written yet.
    const work = runCommand("umount", ["--lazy", "--no-canonicalize", target], { timeoutMs: unmountWithinMs });
    await work.catch((cause: unknown) => {
      if (isMounted(target)) throw cause;
    });
  }
  await rmdir(target).catch((error: unknown) => {
    if (!isNodeError(error, "ENOENT")) throw error;
  });
}
