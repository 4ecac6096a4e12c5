import type { VolumeCapability } from "@tripod/api/csi";
import { MOUNT_ATTR } from "@tripod/linux";

/** mount(8)'s words that each volume has for itself; all others are the share's. */
const attributeOf: ReadonlyMap<string, number> = new Map([
  ["ro", MOUNT_ATTR.RDONLY],
  ["noexec", MOUNT_ATTR.NOEXEC],
  ["noatime", MOUNT_ATTR.NOATIME],
]);
const alwaysSo: readonly string[] = ["rw", "nosuid", "nodev"];

const flagsOf = (capability: VolumeCapability | undefined): string[] =>
  capability?.accessType.case === "mount"
    ? capability.accessType.value.mountFlags.flatMap((flags) => flags.split(",")).filter((flag) => flag !== "")
    : [];

/** How the share is mounted for a volume. */
export const shareOptionsOf = (capability: VolumeCapability | undefined): string[] =>
  flagsOf(capability).filter((flag) => !attributeOf.has(flag) && !alwaysSo.includes(flag));

/** MOUNT_ATTR bits of the volume's own mount. */
export const attributesOf = (capability: VolumeCapability | undefined, readonly: boolean): number =>
  flagsOf(capability).reduce((bits, flag) => bits | (attributeOf.get(flag) ?? 0), readonly ? MOUNT_ATTR.RDONLY : 0);

/** Why no volume can be used so; undefined when it can. */
export const unsupported = (capabilities: readonly VolumeCapability[]): string | undefined =>
  capabilities.some(({ accessType }) => accessType.case === "block")
    ? "NFS has no block devices; use volumeMode Filesystem"
    : undefined;
