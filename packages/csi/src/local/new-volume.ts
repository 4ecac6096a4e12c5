import { isDeepStrictEqual } from "node:util";
import type { CapacityRange, CreateVolumeRequest, VolumeCapability, VolumeContentSource } from "@tripod/api/csi";
import { failpoint, TripodError } from "@tripod/base";
import { staticSizeKey } from "../migration/migrate-volume.ts";
import { growVolume } from "./grow-volume.ts";
import type { LocalContext } from "./local-context.ts";
import { storageIdOf, storedVolume, type VolumeRecord, volumeIdOf } from "./local-records.ts";
import type { Content, VolumeStorage } from "./volume-storage.ts";

/** What a volume has that was asked for without a size. */
const defaultCapacityBytes = 1024n * 1024n * 1024n;
/** Provisioners pass on their own parameters under this prefix. */
const orchestratorPrefix = "csi.storage.k8s.io/";

/** Why none of the capabilities, or which of them, cannot be served; undefined when all can. */
export function firstUnsupported(
  storage: VolumeStorage,
  capabilities: readonly VolumeCapability[],
): string | undefined {
  for (const capability of capabilities) {
    const why = storage.unsupported(capability);
    if (why !== undefined) return why;
  }
  return undefined;
}

/** What a request asks for, apart from its size. Throws "invalid" for what the storage does not know. */
function wantedOf(request: CreateVolumeRequest, storage: VolumeStorage): Omit<VolumeRecord, "capacityBytes"> {
  const { name, parameters, mutableParameters, volumeCapabilities } = request;
  const own = Object.fromEntries(Object.entries(parameters).filter(([key]) => !key.startsWith(orchestratorPrefix)));
  const why =
    firstUnsupported(storage, volumeCapabilities) ??
    storage.refusedParameters(own) ??
    refusedMutable(storage, mutableParameters);
  if (why !== undefined) throw new TripodError("invalid", `create volume ${name}: ${why}`);
  const mount = volumeCapabilities.find(({ accessType }) => accessType.case === "mount")?.accessType;
  const asked = mount?.case === "mount" ? mount.value.fsType : "";
  const source = sourceOf(request.volumeContentSource);
  return {
    name,
    parameters: own,
    mutableParameters,
    accessType: mount === undefined ? "block" : "mount",
    fsType: mount === undefined ? "" : storage.fsTypeOf(asked),
    ...(source === undefined ? {} : { source }),
    state: "ready",
  };
}

export const refusedMutable = (
  storage: VolumeStorage,
  parameters: Readonly<Record<string, string>>,
): string | undefined =>
  storage.refusedMutable === undefined
    ? Object.keys(parameters).length > 0
      ? "there are no mutable parameters; leave the VolumeAttributesClass out"
      : undefined
    : storage.refusedMutable(parameters);

function sourceOf(source: VolumeContentSource | undefined): VolumeRecord["source"] {
  switch (source?.type.case) {
    case "snapshot":
      return { kind: "snapshot", id: source.type.value.snapshotId };
    case "volume":
      return { kind: "volume", id: source.type.value.volumeId };
    default:
      return undefined;
  }
}

/** CreateVolume: the volume of that name, made now or before. */
export async function newVolume(
  context: LocalContext,
  request: CreateVolumeRequest,
): Promise<[volumeId: string, record: VolumeRecord]> {
  const { records, storage, topology } = context;
  const wanted = wantedOf(request, storage);
  if (!topology.allows(request.accessibilityRequirements))
    throw new TripodError(
      "exhausted",
      `create volume ${request.name}: none of the nodes that are allowed is ${topology.nodeId}`,
    );
  const volumeId = volumeIdOf(request.name);
  return records.locks.run(volumeId, async () => {
    const existing = records.volumes.get(volumeId);
    if (existing !== undefined) {
      checkSame(existing, wanted, request.capacityRange);
      return [volumeId, existing];
    }
    return [
      volumeId,
      await withSource(context, wanted, (content, least) =>
        makeVolume(context, volumeId, { wanted, range: request.capacityRange, content, least }),
      ),
    ];
  });
}

interface NewVolume {
  readonly wanted: Omit<VolumeRecord, "capacityBytes">;
  readonly range: Pick<CapacityRange, "requiredBytes" | "limitBytes"> | undefined;
  readonly content?: Content | undefined;
  /** The size of what it is to hold. */
  readonly least?: bigint;
}

/** Makes a volume's data, then its record. The caller holds the volume's lock. */
export async function makeVolume(context: LocalContext, volumeId: string, volume: NewVolume): Promise<VolumeRecord> {
  const { records, storage } = context;
  const { wanted, range, content, least = 0n } = volume;
  const shape = { accessType: wanted.accessType ?? "mount", fsType: wanted.fsType ?? "" } as const;
  const floor = [least, storage.leastBytes(shape)].reduce((a, b) => (a > b ? a : b));
  const capacityBytes = await newCapacity(storage, wanted.name, { range, floor });
  const record: VolumeRecord = { ...wanted, capacityBytes: String(capacityBytes) };
  await storage.make(storedVolume(volumeId, record), content);
  failpoint("csi.local.create.made");
  records.volumes.put(volumeId, record);
  failpoint("csi.local.create.recorded");
  return record;
}

/** Runs `work` with what the volume is to hold, which is kept from going meanwhile. */
async function withSource<T>(
  { records }: LocalContext,
  wanted: Omit<VolumeRecord, "capacityBytes">,
  work: (content: Content | undefined, sizeBytes: bigint) => Promise<T>,
): Promise<T> {
  const { source } = wanted;
  if (source === undefined) return work(undefined, 0n);
  const refuse = (accessType: string, fsType: string): void => {
    if (accessType !== wanted.accessType || fsType !== wanted.fsType)
      throw new TripodError(
        "invalid",
        `create volume ${wanted.name}: ${source.kind} ${source.id} holds ${words(accessType, fsType)}, not ${words(wanted.accessType ?? "", wanted.fsType ?? "")}; ask for the same`,
      );
  };
  return records.locks.run(source.id, async () => {
    if (source.kind === "snapshot") {
      const { sizeBytes, accessType, fsType } = records.snapshot(source.id);
      refuse(accessType, fsType);
      return work({ kind: "snapshot", storageId: storageIdOf(source.id) }, BigInt(sizeBytes));
    }
    const volume = storedVolume(source.id, records.volume(source.id));
    refuse(volume.accessType, volume.fsType);
    return work({ kind: "volume", volume }, volume.capacityBytes);
  });
}

const words = (accessType: string, fsType: string): string =>
  accessType === "block" ? "a block device" : fsType === "" ? "files" : `an ${fsType} file system`;

function checkSame(
  existing: VolumeRecord,
  wanted: Omit<VolumeRecord, "capacityBytes">,
  range: CapacityRange | undefined,
): void {
  const refuse = (why: string): never => {
    throw new TripodError("already-exists", `create volume ${wanted.name}: it exists ${why}`);
  };
  if (existing.state !== "ready")
    throw new TripodError("aborted", `create volume ${wanted.name}: it is being deleted; try again`);
  const size = BigInt(existing.capacityBytes);
  const { requiredBytes = 0n, limitBytes = 0n } = range ?? {};
  if (size < requiredBytes || (limitBytes !== 0n && size > limitBytes))
    refuse(`with ${size} bytes; use another name or that size`);
  // Copies, because the record's and the message's prototypes differ.
  if (!isDeepStrictEqual({ ...existing.parameters }, { ...wanted.parameters }))
    refuse("with other parameters; use another name");
  if ((existing.accessType ?? "mount") !== wanted.accessType || (existing.fsType ?? "") !== wanted.fsType)
    refuse(`as ${words(existing.accessType ?? "mount", existing.fsType ?? "")}; use another name`);
  if (!isDeepStrictEqual(existing.source, wanted.source)) refuse("with another content source; use another name");
}

async function newCapacity(
  storage: VolumeStorage,
  name: string,
  { range, floor }: { readonly range: NewVolume["range"]; readonly floor: bigint },
): Promise<bigint> {
  const { requiredBytes = 0n, limitBytes = 0n } = range ?? {};
  let wanted = requiredBytes === 0n ? defaultCapacityBytes : requiredBytes;
  if (limitBytes !== 0n && wanted > limitBytes) wanted = limitBytes;
  if (wanted < floor) wanted = floor;
  if (limitBytes !== 0n && wanted > limitBytes)
    throw new TripodError("out-of-range", `create volume ${name}: it needs ${floor} bytes; raise the limit`);
  const { totalBytes, availableBytes } = await storage.space();
  if (wanted > totalBytes)
    throw new TripodError(
      "out-of-range",
      `create volume ${name} of ${wanted} bytes: the disk has ${totalBytes} in all; ask for less`,
    );
  if (wanted > availableBytes)
    throw new TripodError(
      "exhausted",
      `create volume ${name} of ${wanted} bytes: the disk has ${availableBytes} left; free some or ask for less`,
    );
  return wanted;
}

/**
 * The volume of a handle that somebody wrote into a PersistentVolume by hand: one that nobody knows yet is made, as large as the volume
 * context's DRIVER/static-capacity-bytes says, and one that was made when that said less grows. The caller holds the volume's lock.
 */
export async function ensureStaticVolume(
  context: LocalContext,
  volumeId: string,
  {
    volumeContext,
    capability,
  }: { volumeContext: Readonly<Record<string, string>>; capability: VolumeCapability | undefined },
): Promise<void> {
  const { records, storage, driverName } = context;
  const size = volumeContext[staticSizeKey(driverName)];
  if (size === undefined) return;
  if (!/^[1-9]\d{0,17}$/.test(size))
    throw new TripodError("invalid", `static volume ${volumeId}: ${JSON.stringify(size)} is no size in bytes`);
  if (records.volumes.get(volumeId) !== undefined) {
    await growVolume(context, volumeId, BigInt(size));
    return;
  }
  const mount = capability?.accessType.case === "mount" ? capability.accessType.value : undefined;
  const wanted: Omit<VolumeRecord, "capacityBytes"> = {
    name: volumeId,
    parameters: {},
    accessType: mount === undefined ? "block" : "mount",
    fsType: mount === undefined ? "" : storage.fsTypeOf(mount.fsType),
    state: "ready",
  };
  await makeVolume(context, volumeId, { wanted, range: { requiredBytes: BigInt(size), limitBytes: 0n } });
}
