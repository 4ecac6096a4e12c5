import { type VolumeCapability, VolumeCapability_AccessMode_Mode as Mode } from "@tripod/api/csi";

const multiNode: ReadonlySet<number> = new Set([
  Mode.MULTI_NODE_READER_ONLY,
  Mode.MULTI_NODE_SINGLE_WRITER,
  Mode.MULTI_NODE_MULTI_WRITER,
]);

/** Mount flags that a bind mount of its own can carry. */
const mountFlagNames = ["ro", "rw", "nosuid", "nodev", "noexec", "noatime"] as const;
export type MountFlag = (typeof mountFlagNames)[number];

const isMountFlag = (flag: string): flag is MountFlag => mountFlagNames.some((name) => name === flag);

/** Why a folder of one node cannot serve `capability`; undefined when it can. */
export function unsupported(capability: VolumeCapability): string | undefined {
  if (capability.accessType.case === "block") return "a folder is no block device; use volumeMode Filesystem";
  if (multiNode.has(capability.accessMode?.mode ?? Mode.UNKNOWN))
    return "a folder of one node cannot be used from several; use ReadWriteOnce or ReadWriteOncePod";
  const flags = capability.accessType.case === "mount" ? capability.accessType.value.mountFlags : [];
  const unknown = flags.filter((flag) => !isMountFlag(flag));
  return unknown.length === 0
    ? undefined
    : `mount flags ${unknown.join(", ")} are none of ${mountFlagNames.join(", ")}`;
}

/** The flags of a capability that has been found supported. */
export const mountFlagsOf = (capability: VolumeCapability | undefined): MountFlag[] =>
  capability?.accessType.case === "mount" ? capability.accessType.value.mountFlags.filter(isMountFlag).toSorted() : [];

/** Whether the access mode itself forbids writing. */
export const readsOnly = (capability: VolumeCapability | undefined): boolean =>
  capability?.accessMode?.mode === Mode.SINGLE_NODE_READER_ONLY;
