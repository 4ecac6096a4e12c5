import { isAbsolute, normalize } from "node:path";
import {
  VolumeCapability_AccessMode_Mode as Mode,
  type CapacityRange,
  type VolumeCapability,
  type VolumeContentSource,
} from "@tripod/api/csi";
import { TripodError } from "@tripod/base";

/** Size limits of the specification (section "Size Limits"). */
const maxStringBytes = 128;
const maxNodeIdBytes = 256;
const maxPathBytes = 4096;
const maxMapBytes = 4096;

/** The fields of CSI requests that have rules of their own; a request has some of them. */
interface Fields {
  readonly name?: string;
  readonly volumeId?: string;
  readonly snapshotId?: string;
  readonly sourceVolumeId?: string;
  readonly sourceVolumeIds?: readonly string[];
  readonly groupSnapshotId?: string;
  readonly snapshotIds?: readonly string[];
  readonly baseSnapshotId?: string;
  readonly targetSnapshotId?: string;
  readonly startingOffset?: bigint;
  readonly maxResults?: number;
  readonly volumeContentSource?: VolumeContentSource | undefined;
  readonly nodeId?: string;
  readonly targetPath?: string;
  readonly stagingTargetPath?: string;
  readonly volumePath?: string;
  readonly volumeCapability?: VolumeCapability | undefined;
  readonly volumeCapabilities?: readonly VolumeCapability[];
  readonly capacityRange?: CapacityRange | undefined;
  readonly maxEntries?: number;
  readonly parameters?: Readonly<Record<string, string>>;
  readonly mutableParameters?: Readonly<Record<string, string>>;
  readonly secrets?: Readonly<Record<string, string>>;
  readonly volumeContext?: Readonly<Record<string, string>>;
  readonly publishContext?: Readonly<Record<string, string>>;
}

type Field = keyof Fields;

/** The fields that a call must have, by its camel-case name. A call that is not here demands none. */
const required: Readonly<Record<string, readonly Field[]>> = {
  createVolume: ["name", "volumeCapabilities"],
  deleteVolume: ["volumeId"],
  controllerPublishVolume: ["volumeId", "nodeId", "volumeCapability"],
  controllerUnpublishVolume: ["volumeId"],
  validateVolumeCapabilities: ["volumeId", "volumeCapabilities"],
  controllerExpandVolume: ["volumeId", "capacityRange"],
  controllerGetVolume: ["volumeId"],
  controllerModifyVolume: ["volumeId"],
  controllerGetVolumeHealth: ["volumeId"],
  createSnapshot: ["name", "sourceVolumeId"],
  deleteSnapshot: ["snapshotId"],
  getSnapshot: ["snapshotId"],
  nodeStageVolume: ["volumeId", "stagingTargetPath", "volumeCapability"],
  nodeUnstageVolume: ["volumeId", "stagingTargetPath"],
  nodePublishVolume: ["volumeId", "targetPath", "volumeCapability"],
  nodeUnpublishVolume: ["volumeId", "targetPath"],
  nodeGetVolumeStats: ["volumeId", "volumePath"],
  nodeExpandVolume: ["volumeId", "volumePath"],
  nodeGetVolumeHealth: ["volumeId"],
  createVolumeGroupSnapshot: ["name", "sourceVolumeIds"],
  deleteVolumeGroupSnapshot: ["groupSnapshotId"],
  getVolumeGroupSnapshot: ["groupSnapshotId"],
  getMetadataAllocated: ["snapshotId"],
  getMetadataDelta: ["baseSnapshotId", "targetSnapshotId"],
};

/** The fields that hold an id or a name. */
const idFields = [
  "name",
  "volumeId",
  "snapshotId",
  "sourceVolumeId",
  "groupSnapshotId",
  "baseSnapshotId",
  "targetSnapshotId",
  "nodeId",
] as const;

const wireName = (field: string): string => field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Throws "invalid" unless the request of `method` holds what the specification demands: required fields, sizes, paths, capabilities, ranges. */
export function checkRequest(method: string, request: object): void {
  const fields = request as Fields; // a generated message: a field that it has is of the type above
  const refuse = (field: string, why: string): never => {
    throw new TripodError("invalid", `${method}: ${wireName(field)} ${why}`, { detail: { field: wireName(field) } });
  };
  for (const field of required[method] ?? []) {
    const value = fields[field];
    if (value === undefined || value === "" || (Array.isArray(value) && value.length === 0))
      refuse(field, "is missing");
  }
  for (const field of idFields) {
    const limit = field === "nodeId" ? maxNodeIdBytes : maxStringBytes;
    if (Buffer.byteLength(fields[field] ?? "") > limit) refuse(field, `is longer than ${limit} bytes`);
  }
  for (const field of ["sourceVolumeIds", "snapshotIds"] as const) {
    const ids = fields[field] ?? [];
    if (ids.includes("")) refuse(field, "has an empty id");
    if (ids.some((id) => Buffer.byteLength(id) > maxStringBytes))
      refuse(field, `has an id longer than ${maxStringBytes} bytes`);
  }
  const source = fields.volumeContentSource?.type;
  if (fields.volumeContentSource !== undefined && idOfSource(source) === "")
    refuse("volumeContentSource", "names no source");
  // volumePath only names what was published before; a driver that knows no such path answers NOT_FOUND.
  if (Buffer.byteLength(fields.volumePath ?? "") > maxPathBytes)
    refuse("volumePath", `is longer than ${maxPathBytes} bytes`);
  for (const field of ["targetPath", "stagingTargetPath"] as const) {
    const path = fields[field];
    if (path !== undefined && path !== "") checkPath(path, (why) => refuse(field, why));
  }
  for (const field of ["parameters", "mutableParameters", "secrets", "volumeContext", "publishContext"] as const) {
    if (mapBytes(fields[field]) > maxMapBytes) refuse(field, `is larger than ${maxMapBytes} bytes`);
  }
  if (fields.volumeCapability !== undefined)
    checkCapability(fields.volumeCapability, (why) => refuse("volumeCapability", why));
  fields.volumeCapabilities?.forEach((capability, index) =>
    checkCapability(capability, (why) => refuse(`volumeCapabilities[${index}]`, why)),
  );
  if (fields.capacityRange !== undefined) checkRange(fields.capacityRange, (why) => refuse("capacityRange", why));
  if ((fields.maxEntries ?? 0) < 0) refuse("maxEntries", "is negative");
  if ((fields.maxResults ?? 0) < 0) refuse("maxResults", "is negative");
  if ((fields.startingOffset ?? 0n) < 0n)
    throw new TripodError("out-of-range", `${method}: starting_offset is negative`);
}

const idOfSource = (source: VolumeContentSource["type"] | undefined): string =>
  source?.case === "snapshot" ? source.value.snapshotId : source?.case === "volume" ? source.value.volumeId : "";

function checkPath(path: string, refuse: (why: string) => never): void {
  if (!isAbsolute(path)) refuse("is not absolute");
  if (path.includes("\0")) refuse("holds a NUL");
  if (Buffer.byteLength(path) > maxPathBytes) refuse(`is longer than ${maxPathBytes} bytes`);
  if (path.split("/").includes("..") || normalize(path) === "/") refuse("is no plain path below the root");
}

function checkCapability(capability: VolumeCapability, refuse: (why: string) => never): void {
  if (capability.accessType.case === undefined) refuse("has no access type (block or mount)");
  if (capability.accessMode === undefined || capability.accessMode.mode === Mode.UNKNOWN) refuse("has no access mode");
}

function checkRange({ requiredBytes, limitBytes }: CapacityRange, refuse: (why: string) => never): void {
  if (requiredBytes < 0n || limitBytes < 0n) refuse("is negative");
  if (requiredBytes === 0n && limitBytes === 0n) refuse("has neither required_bytes nor limit_bytes");
  if (limitBytes !== 0n && limitBytes < requiredBytes) refuse("has a limit below what it requires");
}

const mapBytes = (map: Readonly<Record<string, string>> | undefined): number =>
  Object.entries(map ?? {}).reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
