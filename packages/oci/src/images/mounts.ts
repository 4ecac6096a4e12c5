import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { failpoint, isNodeError, TripodError } from "@tripod/base";
import { isErrno, isMountPoint, unmount } from "@tripod/linux";
import { type Digest, digestOf, hexOf } from "../digest.ts";
import type { Image } from "../image.ts";
import { processToken, tokenAlive } from "../snapshots/temporary-folders.ts";
import { layersOf } from "./artifact-layer.ts";
import type { MountRecord } from "./image-records.ts";
import type { Store } from "./store.ts";

/** An image mounted by hand. Its files stay until it is unmounted, whoever removes the image. */
export interface ImageMount {
  readonly target: string;
  readonly imageId: Digest;
  readonly mountedAtMs: number;
}

/** Tells mounts that this process can see from those of another mount namespace, or of before a reboot. */
const mountPlace = (): string =>
  `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${readlinkSync("/proc/self/ns/mnt")}`;

/** Where mounts go that nobody named a folder for. */
export const mountsDir = (store: Store): string => join(store.layout.runDir, "image-mounts");

/**
 * Mounts an image read-only. It is on record before the mount is made, so that a crash in between leaves nothing that nobody knows of, and
 * what is mounted is never collected. Asking again for the same changes nothing.
 */
export async function mountByHand(
  store: Store,
  image: Image,
  options: { readonly target?: string | undefined; readonly ensureUnpacked: () => Promise<void> },
): Promise<ImageMount> {
  const { records, snapshotter } = store;
  const target = options.target === undefined ? join(mountsDir(store), hexOf(image.id)) : resolve(options.target);
  const refuse = (why: string): TripodError =>
    new TripodError("failed-precondition", `mount ${image.repoTags[0] ?? image.id} on ${target}: ${why}`);
  if (options.target !== undefined && !isMountPoint(target)) {
    const files = contentOf(target);
    if (files === undefined) throw refuse("is no folder; name one that is empty, or not there yet");
    if (files.length > 0) throw refuse("the folder is not empty; name another one");
  }
  const record: MountRecord = {
    imageId: image.id,
    layers: layersOf(image),
    mountedAtMs: Date.now(),
    owner: processToken(),
    place: mountPlace(),
  };
  const before = records.transaction(() => {
    const known = records.mounts.get(target);
    if (known !== undefined && stands(target, known)) return known;
    if (isMountPoint(target)) throw refuse("something else is mounted there; unmount it, or name another folder");
    records.mounts.put(target, record);
    return undefined;
  });
  if (before !== undefined) {
    if (before.imageId === image.id) return { target, imageId: before.imageId, mountedAtMs: before.mountedAtMs };
    throw refuse(`image ${before.imageId.slice(7, 19)} is mounted there; tripod image unmount it first`);
  }
  failpoint("oci.mount.recorded");
  try {
    await options.ensureUnpacked();
    mkdirSync(target, { recursive: true, mode: 0o755 });
    await snapshotter.mountView(`mount-${hexOf(digestOf(target)).slice(0, 32)}`, { layers: record.layers, target });
  } catch (error) {
    records.mounts.delete(target);
    throw error;
  }
  failpoint("oci.mount.mounted");
  records.transaction(() => {
    if (records.mounts.get(target) !== undefined) records.mounts.put(target, { ...record, owner: "" });
  });
  return { target, imageId: image.id, mountedAtMs: record.mountedAtMs };
}

/** What a folder holds; nothing when it is not there, undefined when it is none. */
function contentOf(path: string): string[] | undefined {
  try {
    return readdirSync(path);
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return [];
    if (isNodeError(error, "ENOTDIR")) return undefined;
    throw error;
  }
}

/** Whether the mount is there, or is being made, or cannot be seen from here. */
function stands(target: string, { owner, place }: MountRecord): boolean {
  const [boot, namespace] = place.split(" ");
  const [ourBoot, ourNamespace] = mountPlace().split(" ");
  if (boot !== ourBoot) return false;
  return namespace !== ourNamespace || isMountPoint(target) || tokenAlive(owner);
}

export interface UnmountImagesOptions {
  /** Those on this folder, or of this image; all unless told. */
  readonly target?: string | undefined;
  readonly imageId?: Digest | undefined;
  /** Take them off although something works in them. */
  readonly detach?: boolean;
}

/** Takes mounts off. Returns which; the folders that mounting made go with them. */
export function unmountByHand(store: Store, options: UnmountImagesOptions): string[] {
  const { detach = false, imageId } = options;
  const wanted = options.target === undefined ? undefined : resolve(options.target);
  const targets = listMounts(store)
    .filter((mount) => (wanted ?? mount.target) === mount.target && (imageId ?? mount.imageId) === mount.imageId)
    .map(({ target }) => target);
  for (const target of targets) {
    try {
      while (isMountPoint(target) && unmount(target, { noFollow: true, detach }));
    } catch (cause) {
      if (!isErrno(cause, "EBUSY")) throw cause;
      throw new TripodError(
        "failed-precondition",
        `unmount ${target}: something still uses it; end what does (fuser -m ${target} names it), or use --force`,
        { cause },
      );
    }
    failpoint("oci.mount.unmounted");
    forget(store, target);
  }
  return targets;
}

function forget(store: Store, target: string): void {
  store.records.mounts.delete(target);
  if (!target.startsWith(`${mountsDir(store)}/`)) return;
  try {
    rmdirSync(target);
  } catch (error) {
    if (!isNodeError(error, "ENOENT", "ENOTEMPTY", "EBUSY")) throw error;
  }
}

/** Every image mounted by hand. Those that a reboot, or somebody else's umount, has taken off are forgotten. */
export function listMounts(store: Store): ImageMount[] {
  return store.records.mounts.entries().flatMap(([target, record]) => {
    if (stands(target, record)) {
      return [{ target, imageId: record.imageId, mountedAtMs: record.mountedAtMs }];
    }
    forget(store, target);
    return [];
  });
}
