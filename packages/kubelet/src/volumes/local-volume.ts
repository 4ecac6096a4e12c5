import { mkdir, realpath, stat } from "node:fs/promises";
import type { PersistentVolume, Pod } from "@tripod/api/kubernetes";
import { failpoint, isNodeError, KeyedMutex, TripodError } from "@tripod/base";
import { contentOf, fileSystems, isFsType, makeFileSystem } from "@tripod/csi/file-systems";
import { bindMount, isMountPoint, mount, MOUNT_ATTR, parseMountOptions, setMountAttributes } from "@tripod/linux";
import { uidOf } from "../pods/pod-facts.ts";
import { setFsGroup } from "./fs-group.ts";
import { localPlugin, openLocalDevice } from "./local-block.ts";
import type { MountedVolume } from "./mounted-volume.ts";
import { podPaths } from "./pod-paths.ts";

/** By path: who meets an empty device at once, two Pods or two names in one Pod, must not both make a file system on it, or mount it twice. */
const locks = new KeyedMutex();

export interface LocalVolumeOptions {
  readonly pv: PersistentVolume;
  readonly kubeletDir: string;
  /** Under every name that the Pod has for it. */
  readonly readOnly: boolean;
  readonly signal: AbortSignal;
}

/**
 * A local PersistentVolume for a Pod: a folder, shown in the Pod's own; a block device with volumeMode Block, as it is; any other block
 * device with its file system, which is made on a device that holds nothing. Repeatable.
 */
export async function openLocalVolume(pod: Pod, options: LocalVolumeOptions): Promise<MountedVolume> {
  const { pv, kubeletDir, readOnly, signal } = options;
  const specName = pv.metadata.name ?? "";
  const { path = "", fsType } = pv.spec.local ?? {};
  if (!path.startsWith("/") || path.split("/").includes(".."))
    throw new TripodError("invalid", `local ${path}: must be absolute and without ..`);
  const found = await stat(path).catch((cause: unknown) => {
    if (!isNodeError(cause, "ENOENT")) throw cause;
    throw new TripodError("failed-precondition", `local ${path}: path does not exist on this node`, { cause });
  });
  const isDevice = found.isBlockDevice();
  if (pv.spec.volumeMode === "Block") {
    const devicePath = await openLocalDevice(path, { kubeletDir, podUid: uidOf(pod), specName });
    return { kind: "device", devicePath, readOnly };
  }
  if (!isDevice && !found.isDirectory())
    throw new TripodError("failed-precondition", `local ${path}: neither a directory nor a block device`);
  const target = podPaths(kubeletDir, uidOf(pod)).volume(localPlugin, specName);
  await mkdir(target, { recursive: true, mode: 0o750 });
  const source = await realpath(path);
  await locks.run(source, async () => {
    if (isMountPoint(target)) return;
    if (!isDevice) bindMount(source, target, { recursive: true, readOnly });
    else await mountDevice(source, target, { fsType, mountOptions: pv.spec.mountOptions });
  });
  // Whether it was mounted just now or before a kill.
  if (isDevice && readOnly) setMountAttributes(target, { set: MOUNT_ATTR.RDONLY });
  const { fsGroup, fsGroupChangePolicy: policy } = pod.spec?.securityContext ?? {};
  if (fsGroup !== undefined && !readOnly) await setFsGroup(target, { fsGroup, policy, signal });
  return { kind: "folder", hostPath: target, readOnly };
}

interface DeviceOptions {
  readonly fsType: string | undefined;
  readonly mountOptions: readonly string[] | undefined;
}

/** One mount a Pod; the kernel shares the file system among them. */
async function mountDevice(device: string, target: string, { fsType, mountOptions }: DeviceOptions): Promise<void> {
  const content = await contentOf(device);
  const wanted = fsType || (content === "nothing" ? "ext4" : content);
  if (!isFsType(wanted))
    throw new TripodError(
      "invalid",
      `local ${device}: ${content === "unknown" ? "it holds something that is no file system known here, and is left alone" : `file system ${wanted} is not known here`}; known are ${Object.keys(fileSystems).join(", ")}`,
    );
  if (content !== "nothing" && content !== wanted)
    throw new TripodError(
      "failed-precondition",
      `local ${device}: it holds ${content === "unknown" ? "something else" : content}, the volume says ${wanted}; nothing is overwritten`,
    );
  if (content === "nothing") await makeFileSystem(device, wanted);
  failpoint("kubelet.local.formatted");
  const { flags, data } = parseMountOptions(mountOptions ?? []);
  mount({ source: device, target, type: wanted, flags, data });
}
