import type { MessageInitShape } from "@bufbuild/protobuf";
import { ControllerServiceCapability_RPC_Type, type VolumeCapabilitySchema } from "@tripod/api/csi";
import type { PersistentVolume, PersistentVolumeAccessMode } from "@tripod/api/kubernetes";
import { accessModeOf } from "@tripod/csi";
import type { CsiPersistentVolume } from "@tripod/csi/migration";

type Rpcs = ReadonlySet<ControllerServiceCapability_RPC_Type>;

export interface CapabilityFacts {
  readonly block: boolean;
  readonly fsType?: string | undefined;
  readonly mountFlags?: readonly string[] | undefined;
}

/** A volume capability for one access mode. */
export const volumeCapability = (
  mode: PersistentVolumeAccessMode,
  facts: CapabilityFacts,
  rpcs: Rpcs,
): MessageInitShape<typeof VolumeCapabilitySchema> => ({
  accessMode: { mode: accessModeOf(mode, rpcs.has(ControllerServiceCapability_RPC_Type.SINGLE_NODE_MULTI_WRITER)) },
  accessType: facts.block
    ? { case: "block", value: {} }
    : { case: "mount", value: { fsType: facts.fsType ?? "", mountFlags: [...(facts.mountFlags ?? [])] } },
});

/** The capability that a volume has on all its nodes together: one that many may write can be attached to many, whatever else it can do. */
export function capabilityOf({ spec }: CsiPersistentVolume<PersistentVolume>, rpcs: Rpcs) {
  const { accessModes = [], volumeMode, mountOptions, csi } = spec;
  const mode = accessModes.includes("ReadWriteMany") ? "ReadWriteMany" : (accessModes[0] ?? "ReadWriteOnce");
  return volumeCapability(mode, { block: volumeMode === "Block", fsType: csi.fsType, mountFlags: mountOptions }, rpcs);
}
