import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  ControllerServiceCapability_RPC_Type,
  VolumeCapability_AccessMode_Mode as Mode,
  type VolumeCapabilitySchema,
} from "@tripod/api/csi";
import type { PersistentVolumeAccessMode } from "@tripod/api/kubernetes";

type Rpcs = ReadonlySet<ControllerServiceCapability_RPC_Type>;

/** CSI's name for an access mode, which depends on whether the driver tells single writers apart. */
export function accessModeOf(mode: PersistentVolumeAccessMode, rpcs: Rpcs): Mode {
  const tellsApart = rpcs.has(ControllerServiceCapability_RPC_Type.SINGLE_NODE_MULTI_WRITER);
  switch (mode) {
    case "ReadWriteOnce":
      return tellsApart ? Mode.SINGLE_NODE_MULTI_WRITER : Mode.SINGLE_NODE_WRITER;
    case "ReadWriteOncePod":
      return tellsApart ? Mode.SINGLE_NODE_SINGLE_WRITER : Mode.SINGLE_NODE_WRITER;
    case "ReadOnlyMany":
      return Mode.MULTI_NODE_READER_ONLY;
    case "ReadWriteMany":
      return Mode.MULTI_NODE_MULTI_WRITER;
  }
}

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
  accessMode: { mode: accessModeOf(mode, rpcs) },
  accessType: facts.block
    ? { case: "block", value: {} }
    : { case: "mount", value: { fsType: facts.fsType ?? "", mountFlags: [...(facts.mountFlags ?? [])] } },
});
