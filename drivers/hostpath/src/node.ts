import { lstatSync, mkdirSync, rmdirSync, statSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { normalize } from "node:path";
import {
  type NodePublishVolumeRequest,
  VolumeCapability_AccessMode_Mode as Mode,
  VolumeUsage_Unit as Unit,
} from "@tripod/api/csi";
import { failpoint, TripodError } from "@tripod/base";
import type { NodeMethods } from "@tripod/csi";
import { bindMount, isMountPoint, MOUNT_ATTR, setMountAttributes, unmount } from "@tripod/linux";
import { topologyKey } from "./topology.ts";
import { type MountFlag, mountFlagsOf, readsOnly, unsupported } from "./volume-capability.ts";
import type { HostpathState, PublicationRecord } from "./volume-records.ts";

export interface NodeOptions {
  readonly state: HostpathState;
  readonly nodeId: string;
  readonly attach: boolean;
}

const attributeOf: Readonly<Record<Exclude<MountFlag, "ro" | "rw">, number>> = {
  nosuid: MOUNT_ATTR.NOSUID,
  nodev: MOUNT_ATTR.NODEV,
  noexec: MOUNT_ATTR.NOEXEC,
  noatime: MOUNT_ATTR.NOATIME,
};

/** The node calls: a volume is published by a bind mount of its folder. */
export function hostpathNode({ state, nodeId, attach }: NodeOptions): NodeMethods {
  return {
    async nodeGetInfo() {
      return { nodeId, accessibleTopology: { segments: { [topologyKey]: nodeId } } };
    },

    async nodePublishVolume(request) {
      await state.locks.run(request.volumeId, async () => publish(state, attach, request));
      return {};
    },

    async nodeUnpublishVolume({ volumeId, targetPath }) {
      await state.locks.run(volumeId, async () => unpublish(state, volumeId, normalize(targetPath)));
      return {};
    },

    async nodeGetVolumeStats({ volumeId, volumePath }) {
      state.volume(volumeId);
      const path = normalize(volumePath);
      if (state.publications.get(path)?.volumeId !== volumeId || !showsFolder(state, volumeId, path))
        throw new TripodError("not-found", `statistics of volume ${volumeId}: it is not published at ${path}`);
      const { bsize, blocks, bavail, bfree, files, ffree } = await statfs(path, { bigint: true });
      return {
        usage: [
          { unit: Unit.BYTES, total: bsize * blocks, available: bsize * bavail, used: bsize * (blocks - bfree) },
          { unit: Unit.INODES, total: files, available: ffree, used: files - ffree },
        ],
      };
    },
  };
}

function publish(state: HostpathState, attach: boolean, request: NodePublishVolumeRequest): void {
  const { volumeId, volumeCapability } = request;
  const targetPath = normalize(request.targetPath).replace(/\/$/, "");
  const what = `publish volume ${volumeId} at ${targetPath}`;
  state.volume(volumeId);
  const why = volumeCapability === undefined ? undefined : unsupported(volumeCapability);
  if (why !== undefined) throw new TripodError("invalid", `${what}: ${why}`);
  if (`${targetPath}/`.startsWith(`${state.dir}/`))
    throw new TripodError("invalid", `${what}: the target is inside the driver's own folder ${state.dir}`);
  if (attach && state.attachments.get(volumeId) === undefined)
    throw new TripodError("failed-precondition", `${what}: it is not attached; call ControllerPublishVolume first`);
  const mountFlags = mountFlagsOf(volumeCapability);
  const wanted: PublicationRecord = {
    volumeId,
    readonly: request.readonly || readsOnly(volumeCapability) || mountFlags.includes("ro"),
    mountFlags,
    accessMode: volumeCapability?.accessMode?.mode ?? Mode.UNKNOWN,
    state: "publishing",
  };
  const existing = state.publications.get(targetPath);
  if (existing !== undefined) {
    if (!isSame(existing, wanted))
      throw new TripodError(
        "already-exists",
        `${what}: published there as ${describe(existing)}; unpublish that first`,
      );
    if (existing.state === "published" && showsFolder(state, volumeId, targetPath)) return;
    unmountOurs(state, volumeId, targetPath); // a crash or a reboot came between
  } else if (isMountPoint(targetPath))
    throw new TripodError("failed-precondition", `${what}: something else is mounted there; unmount it first`);
  checkSingleWriter(state, targetPath, wanted);
  state.publications.put(targetPath, wanted);
  failpoint("hostpath.publish.recorded");
  makeTarget(what, targetPath);
  failpoint("hostpath.publish.target-made");
  bindMount(state.folderOf(volumeId), targetPath);
  failpoint("hostpath.publish.mounted");
  try {
    setMountAttributes(targetPath, { set: attributesOf(wanted) });
  } catch (error) {
    unmount(targetPath, { detach: true });
    throw error;
  }
  state.publications.put(targetPath, { ...wanted, state: "published" });
}

/** SINGLE_NODE_SINGLE_WRITER lets a volume be in one place at a time. */
function checkSingleWriter(state: HostpathState, targetPath: string, wanted: PublicationRecord): void {
  const single = (record: PublicationRecord): boolean => record.accessMode === Mode.SINGLE_NODE_SINGLE_WRITER;
  for (const [path, record] of state.publicationsOf(wanted.volumeId)) {
    if (path !== targetPath && (single(wanted) || single(record)) && isMountPoint(path))
      throw new TripodError(
        "failed-precondition",
        `publish volume ${wanted.volumeId} at ${targetPath}: it may have one writer and is published at ${path}; unpublish it there first`,
      );
  }
}

function attributesOf({ readonly, mountFlags }: PublicationRecord): number {
  let attributes = readonly ? MOUNT_ATTR.RDONLY : 0;
  for (const flag of mountFlags) {
    if (flag in attributeOf) attributes |= attributeOf[flag as keyof typeof attributeOf]; // just tested
  }
  return attributes;
}

function makeTarget(what: string, targetPath: string): void {
  const found = lstatSync(targetPath, { throwIfNoEntry: false });
  if (found === undefined) mkdirSync(targetPath, { recursive: true, mode: 0o750 });
  else if (!found.isDirectory())
    throw new TripodError("failed-precondition", `${what}: the target is a file or a symbolic link; remove it`);
}

function unpublish(state: HostpathState, volumeId: string, targetPath: string): void {
  const record = state.publications.get(targetPath);
  if (record !== undefined && record.volumeId !== volumeId)
    throw new TripodError(
      "not-found",
      `unpublish volume ${volumeId} at ${targetPath}: ${record.volumeId} is published there`,
    );
  if (record === undefined) return; // nothing of ours was ever put there
  unmountOurs(state, volumeId, targetPath);
  failpoint("hostpath.unpublish.unmounted");
  if (lstatSync(targetPath, { throwIfNoEntry: false })?.isDirectory() === true) rmdirSync(targetPath);
  failpoint("hostpath.unpublish.target-removed");
  state.publications.delete(targetPath);
}

/** Unmounts our folder from the target as often as it is mounted there; a mount of anything else stays and is an error. */
function unmountOurs(state: HostpathState, volumeId: string, targetPath: string): void {
  while (isMountPoint(targetPath)) {
    if (!showsFolder(state, volumeId, targetPath))
      throw new TripodError(
        "failed-precondition",
        `unmount ${targetPath}: something else is mounted over volume ${volumeId}; unmount it first`,
      );
    unmount(targetPath, { noFollow: true });
  }
}

/** Whether the target is a mount of the volume's own folder. A bind mount has the inode of what it shows. */
function showsFolder(state: HostpathState, volumeId: string, targetPath: string): boolean {
  if (!isMountPoint(targetPath)) return false;
  const [folder, target] = [state.folderOf(volumeId), targetPath].map((path) =>
    statSync(path, { throwIfNoEntry: false }),
  );
  return folder !== undefined && target !== undefined && folder.dev === target.dev && folder.ino === target.ino;
}

const isSame = (one: PublicationRecord, other: PublicationRecord): boolean =>
  one.volumeId === other.volumeId &&
  one.readonly === other.readonly &&
  one.accessMode === other.accessMode &&
  one.mountFlags.join() === other.mountFlags.join();

const describe = ({ volumeId, readonly, mountFlags }: PublicationRecord): string =>
  `${volumeId}, ${readonly ? "read-only" : "read-write"}${mountFlags.length > 0 ? ` with ${mountFlags.join(",")}` : ""}`;
