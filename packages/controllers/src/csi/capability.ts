import type { MessageInitShape } from "@bufbuild/protobuf";
import { ControllerServiceCapability_RPC_Type, type VolumeCapabilitySchema } from "@tripod/api/csi";
import type { PersistentVolumeAccessMode } from "@tripod/api/kubernetes";
import { accessModeOf } from "@tripod/csi";

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
