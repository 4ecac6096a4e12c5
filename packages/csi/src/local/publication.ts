import { lstatSync, mkdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, normalize } from "node:path";
import {
  type NodePublishVolumeRequest,
  VolumeCapability_AccessMode_Mode as Mode,
  type VolumeCapability,
} from "@tripod/api/csi";
import { quantityValue } from "@tripod/api/quantity";
import { failpoint, TripodError } from "@tripod/base";
import { bindMount, isMountPoint, MOUNT_ATTR, setMountAttributes, unmount } from "@tripod/linux";
import type { LocalContext } from "./local-context.ts";
import { type PublicationRecord, storedVolume } from "./local-records.ts";
import { ensureStaticVolume, makeVolume } from "./new-volume.ts";
import type { StoredVolume } from "./volume-storage.ts";

const attributeOf: ReadonlyMap<string, number> = new Map([
  ["ro", MOUNT_ATTR.RDONLY],
  ["nosuid", MOUNT_ATTR.NOSUID],
  ["nodev", MOUNT_ATTR.NODEV],
  ["noexec", MOUNT_ATTR.NOEXEC],
  ["noatime", MOUNT_ATTR.NOATIME],
]);

/** Mount flags that a bind mount of its own can carry. */
export const bindFlags: readonly string[] = [...attributeOf.keys(), "rw"];

const flagsOf = (capability: VolumeCapability | undefined): string[] =>
  capability?.accessType.case === "mount"
    ? capability.accessType.value.mountFlags.filter((flag) => bindFlags.includes(flag)).toSorted()
    : [];

const isEphemeral = ({ volumeContext }: NodePublishVolumeRequest): boolean =>
  volumeContext["csi.storage.k8s.io/ephemeral"] === "true";

/** NodePublishVolume. The caller holds the volume's lock. */
export async function publish(context: LocalContext, request: NodePublishVolumeRequest): Promise<void> {
  const { records, storage, attach } = context;
  const { volumeId, volumeCapability, volumeContext } = request;
  const targetPath = normalize(request.targetPath).replace(/\/$/, "");
  const what = `publish volume ${volumeId} at ${targetPath}`;
  if (isEphemeral(request)) await ensureEphemeral(context, request);
  else await ensureStaticVolume(context, volumeId, { volumeContext, capability: volumeCapability });
  const record = records.volume(volumeId);
  const volume = storedVolume(volumeId, record);
  checkPublish(context, { what, volume, request, targetPath });
  if (attach && record.ephemeral !== true && records.attachments.get(volumeId) === undefined)
    throw new TripodError("failed-precondition", `${what}: it is not attached; call ControllerPublishVolume first`);
  const mode = volumeCapability?.accessMode?.mode ?? Mode.UNKNOWN;
  const mountFlags = flagsOf(volumeCapability);
  const readonly = request.readonly || mode === Mode.SINGLE_NODE_READER_ONLY || mountFlags.includes("ro");
  const wanted: PublicationRecord = { volumeId, readonly, mountFlags, accessMode: mode, state: "publishing" };
  const existing = records.publications.get(targetPath);
  if (existing !== undefined) {
    if (!isSame(existing, wanted))
      throw new TripodError(
        "already-exists",
        `${what}: published there as ${describe(existing)}; unpublish that first`,
      );
    if (existing.state === "published" && storage.isShownAt(volume, targetPath)) return;
    unmountOurs(context, volume, targetPath); // a crash or a reboot came between
  } else if (isMountPoint(targetPath))
    throw new TripodError("failed-precondition", `${what}: something else is mounted there; unmount it first`);
  checkSingleWriter(context, { targetPath, wanted, volume });
  records.publications.put(targetPath, wanted);
  failpoint("csi.local.publish.recorded");
  makeTarget(what, targetPath, volume.accessType);
  failpoint("csi.local.publish.target-made");
  const source = await storage.open(volume, { stagingPath: request.stagingTargetPath, readonly });
  failpoint("csi.local.publish.opened");
  bindMount(source, targetPath);
  failpoint("csi.local.publish.mounted");
  try {
    setMountAttributes(targetPath, { set: attributesOf(wanted) });
  } catch (error) {
    unmount(targetPath, { detach: true });
    throw error;
  }
  records.publications.put(targetPath, { ...wanted, state: "published" });
}

function checkPublish(
  { records, storage }: LocalContext,
  {
    what,
    volume,
    request,
    targetPath,
  }: { what: string; volume: StoredVolume; request: NodePublishVolumeRequest; targetPath: string },
): void {
  const { volumeCapability } = request;
  const why = volumeCapability === undefined ? undefined : storage.unsupported(volumeCapability);
  if (why !== undefined) throw new TripodError("invalid", `${what}: ${why}`);
  if (volumeCapability?.accessType.case !== volume.accessType)
    throw new TripodError("invalid", `${what}: the volume was made for access by ${volume.accessType}`);
  if (`${targetPath}/`.startsWith(`${records.dir}/`))
    throw new TripodError("invalid", `${what}: the target is inside the driver's own folder ${records.dir}`);
}

/** The volume that a Pod carries in itself: made when it is published, as large as its attribute "size" says. */
async function ensureEphemeral(context: LocalContext, request: NodePublishVolumeRequest): Promise<void> {
  const { records, storage } = context;
  const { volumeId, volumeContext, volumeCapability: capability } = request;
  if (records.volumes.get(volumeId)?.state === "ready") return;
  const what = `ephemeral volume ${volumeId}`;
  const { size, ...others } = Object.fromEntries(
    Object.entries(volumeContext).filter(([key]) => !key.startsWith("csi.storage.k8s.io/")),
  );
  let requiredBytes = 0n;
  try {
    if (size !== undefined) requiredBytes = quantityValue(size);
  } catch (cause) {
    throw new TripodError("invalid", `${what}: size ${JSON.stringify(size)} is no quantity, as 1Gi is`, { cause });
  }
  const why =
    storage.refusedParameters(others) ?? (capability === undefined ? undefined : storage.unsupported(capability));
  if (why !== undefined) throw new TripodError("invalid", `${what}: ${why}`);
  const mount = capability?.accessType.case === "mount" ? capability.accessType.value : undefined;
  if (mount === undefined)
    throw new TripodError("invalid", `${what}: it can be mounted only; use a PersistentVolumeClaim`);
  const wanted = {
    name: volumeId,
    parameters: others,
    accessType: "mount",
    fsType: storage.fsTypeOf(mount.fsType),
    ephemeral: true,
    state: "ready",
  } as const;
  await makeVolume(context, volumeId, { wanted, range: { requiredBytes, limitBytes: 0n } });
}

/** SINGLE_NODE_SINGLE_WRITER lets a volume be in one place at a time. */
function checkSingleWriter(
  { records, storage }: LocalContext,
  { targetPath, wanted, volume }: { targetPath: string; wanted: PublicationRecord; volume: StoredVolume },
): void {
  const single = (record: PublicationRecord): boolean => record.accessMode === Mode.SINGLE_NODE_SINGLE_WRITER;
  for (const [path, record] of records.publicationsOf(wanted.volumeId)) {
    if (path !== targetPath && (single(wanted) || single(record)) && storage.isShownAt(volume, path))
      throw new TripodError(
        "failed-precondition",
        `publish volume ${wanted.volumeId} at ${targetPath}: it may have one writer and is published at ${path}; unpublish it there first`,
      );
  }
}

const attributesOf = ({ readonly, mountFlags }: PublicationRecord): number =>
  mountFlags.reduce((sum, flag) => sum | (attributeOf.get(flag) ?? 0), readonly ? MOUNT_ATTR.RDONLY : 0);

function makeTarget(what: string, targetPath: string, accessType: "mount" | "block"): void {
  const found = lstatSync(targetPath, { throwIfNoEntry: false });
  const right = accessType === "mount" ? found?.isDirectory() : found?.isFile();
  if (found !== undefined && right !== true)
    throw new TripodError(
      "failed-precondition",
      `${what}: the target is of another kind, or a symbolic link; remove it`,
    );
  if (found !== undefined) return;
  mkdirSync(accessType === "mount" ? targetPath : dirname(targetPath), { recursive: true, mode: 0o750 });
  if (accessType === "block") writeFileSync(targetPath, "", { flag: "wx", mode: 0o660 });
}

/** NodeUnpublishVolume. The caller holds the volume's lock. */
export async function unpublish(context: LocalContext, volumeId: string, targetPath: string): Promise<void> {
  const { records, storage } = context;
  const record = records.publications.get(targetPath);
  if (record !== undefined && record.volumeId !== volumeId)
    throw new TripodError(
      "not-found",
      `unpublish volume ${volumeId} at ${targetPath}: ${record.volumeId} is published there`,
    );
  const known = records.volumes.get(volumeId);
  if (record !== undefined && known !== undefined) {
    const volume = storedVolume(volumeId, known);
    unmountOurs(context, volume, targetPath);
    failpoint("csi.local.unpublish.unmounted");
    removeTarget(targetPath);
    failpoint("csi.local.unpublish.target-removed");
    if (records.publicationsOf(volumeId).every(([path]) => path === targetPath)) await storage.close(volume);
    failpoint("csi.local.unpublish.closed");
    records.publications.delete(targetPath);
  }
  // Nothing of ours was ever put there, or the last time it was cut short right here.
  if (known?.ephemeral === true && records.publicationsOf(volumeId).length === 0)
    await records.removeVolume(volumeId, storage);
}

function removeTarget(targetPath: string): void {
  const found = lstatSync(targetPath, { throwIfNoEntry: false });
  if (found?.isDirectory() === true) rmdirSync(targetPath);
  else if (found?.isFile() === true) rmSync(targetPath);
}

/** Unmounts our volume from the target as often as it is mounted there; a mount of anything else stays and is an error. */
function unmountOurs({ storage }: LocalContext, volume: StoredVolume, targetPath: string): void {
  while (isMountPoint(targetPath)) {
    if (!storage.isShownAt(volume, targetPath))
      throw new TripodError(
        "failed-precondition",
        `unmount ${targetPath}: something else is mounted over volume ${volume.volumeId}; unmount it first`,
      );
    unmount(targetPath, { noFollow: true });
  }
}

const isSame = (one: PublicationRecord, other: PublicationRecord): boolean =>
  one.volumeId === other.volumeId &&
  one.readonly === other.readonly &&
  one.accessMode === other.accessMode &&
  one.mountFlags.join() === other.mountFlags.join();

const describe = ({ volumeId, readonly, mountFlags }: PublicationRecord): string =>
  `${volumeId}, ${readonly ? "read-only" : "read-write"}${mountFlags.length > 0 ? ` with ${mountFlags.join(",")}` : ""}`;
