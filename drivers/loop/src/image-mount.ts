import { closeSync, constants, mkdirSync, openSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import type { VolumeCapability } from "@tripod/api/csi";
import { failpoint, isNodeError, TripodError } from "@tripod/base";
import { showsImage, type StoredVolume } from "@tripod/csi/local";
import {
  growFileSystem,
  isErrno,
  isMountPoint,
  loopsOf,
  mount,
  mountInfo,
  parseMountOptions,
  refreshLoopSize,
  setLoopDirectIo,
  unmount,
  withLoop,
} from "@tripod/linux";
import { readyExt4 } from "./ext4.ts";
import { contentOf, fileSystems, isFsType, makeFileSystem } from "@tripod/csi/file-systems";

/** Mounts the file system of a volume's image at a folder, checked and as large as the image. Repeatable. */
export async function mountImage(
  volume: StoredVolume,
  {
    image,
    path,
    capability,
  }: { readonly image: string; readonly path: string; readonly capability?: VolumeCapability },
): Promise<void> {
  const { fsType, capacityBytes } = volume;
  const what = `mount volume ${volume.volumeId} at ${path}`;
  if (!isFsType(fsType))
    throw new TripodError("invalid", `${what}: ${JSON.stringify(fsType)} is no file system of this driver`);
  const flags = capability?.accessType.case === "mount" ? capability.accessType.value.mountFlags : [];
  mkdirSync(path, { recursive: true, mode: 0o750 });
  if (isMountPoint(path)) {
    if (showsImage(image, path)) return;
    throw new TripodError("failed-precondition", `${what}: something else is mounted there; unmount it first`);
  }
  const [used] = loopsOf(image);
  if (used === undefined) await readyImage(what, image, { fsType, capacityBytes });
  failpoint("loop.stage.ready");
  const { flags: mountFlags, data } = parseMountOptions([...fileSystems[fsType].options, ...flags]);
  const mountDevice = (source: string): void => {
    applyParameters(source, volume);
    try {
      mount({ source, target: path, type: fsType, flags: mountFlags, data });
    } catch (cause) {
      if (isErrno(cause, "EINVAL"))
        throw new TripodError(
          "invalid",
          `${what}: the kernel refuses ${fsType} with options ${data}; look into dmesg`,
          { cause },
        );
      throw cause;
    }
  };
  withDeviceOf(image, mountDevice);
  failpoint("loop.stage.mounted");
  await growMounted(volume, image, path);
}

/** Gives the image's device to `use`: one that there is, for a second one would know nothing of what the first has cached, else a new one. */
function withDeviceOf(image: string, use: (device: string) => void): void {
  for (const { path } of loopsOf(image)) {
    let held: number;
    try {
      held = openSync(path, constants.O_RDONLY);
    } catch (error) {
      if (isNodeError(error, "ENXIO", "ENOENT")) continue; // its last mount has just gone, and it with that
      throw error;
    }
    try {
      if (loopsOf(image).some((each) => each.path === path)) return use(path);
    } finally {
      closeSync(held);
    }
  }
  withLoop(image, use);
}

async function readyImage(
  what: string,
  image: string,
  { fsType, capacityBytes }: { readonly fsType: keyof typeof fileSystems; readonly capacityBytes: bigint },
): Promise<void> {
  const content = await contentOf(image);
  if (content === "nothing") await makeFileSystem(image, fsType);
  else if (content !== fsType)
    throw new TripodError(
      "failed-precondition",
      `${what}: it holds ${content === "unknown" ? "data that is no file system" : content}, not ${fsType}; nothing was changed`,
    );
  if (content === "ext4") await readyExt4(image, capacityBytes);
}

/** Makes a mounted file system as large as its image. Ext4 was made so before it was mounted. */
async function growMounted({ fsType, capacityBytes }: StoredVolume, image: string, path: string): Promise<void> {
  for (const { path: device } of loopsOf(image)) refreshLoopSize(device);
  if (fsType !== "ext4") await growFileSystem(path, fsType, capacityBytes);
}

/** Unmounts the image from the folder, if it is mounted there; its loop device goes with its last mount. */
export function unmountImage(image: string, path: string): void {
  while (isMountPoint(path)) {
    if (!showsImage(image, path))
      throw new TripodError(
        "failed-precondition",
        `unmount ${path}: something else is mounted there; unmount it first`,
      );
    try {
      unmount(path, { noFollow: true });
    } catch (cause) {
      if (!isErrno(cause, "EBUSY")) throw cause;
      throw new TripodError("failed-precondition", `unmount ${path}: it is in use; end what uses it`, { cause });
    }
  }
}

/** Where the image's file system is mounted now. */
export function mountPointsOf(image: string): string[] {
  const devices = new Set(loopsOf(image).map(({ path }) => path));
  return devices.size === 0
    ? []
    : mountInfo()
        .filter(({ source }) => devices.has(source))
        .map(({ mountPoint }) => mountPoint);
}

/** Puts a volume's mutable parameters into effect on a loop device. */
export function applyParameters(device: string, { mutableParameters }: StoredVolume): void {
  const { readAheadKb, directIo } = mutableParameters;
  if (readAheadKb !== undefined) writeFileSync(`/sys/block/${basename(device)}/queue/read_ahead_kb`, readAheadKb);
  if (directIo === undefined) return;
  try {
    setLoopDirectIo(device, directIo === "true");
  } catch (error) {
    // The file system under the image may not be able to.
    if (!isErrno(error, "EINVAL")) throw error;
  }
}

/** Lets the users of a mounted volume have all of it. */
export async function growInUse(volume: StoredVolume, image: string, path: string): Promise<void> {
  const { fsType, capacityBytes } = volume;
  for (const { path: device } of loopsOf(image)) refreshLoopSize(device);
  if (volume.accessType === "block") return;
  try {
    await growFileSystem(path, fsType, capacityBytes);
  } catch (cause) {
    if (!(cause instanceof TripodError) || cause.code !== "permission-denied") throw cause;
    const message = `${cause.message}; end the Pods that use the volume: it grows before it is mounted again`;
    throw new TripodError("failed-precondition", message, { cause });
  }
}
