import { VolumeCapability_AccessMode_Mode as Mode } from "@tripod/api/csi";
import type { NodeCapabilities, RegisteredDriver } from "./csi-drivers.ts";
import type { CsiVolume } from "./csi-spec.ts";

function accessMode(modes: readonly string[], capabilities: NodeCapabilities): Mode {
  if (modes.includes("ReadWriteMany")) return Mode.MULTI_NODE_MULTI_WRITER;
  if (modes.includes("ReadWriteOncePod")) {
    return capabilities.singleNodeMultiWriter ? Mode.SINGLE_NODE_SINGLE_WRITER : Mode.SINGLE_NODE_WRITER;
  }
  if (modes.includes("ReadWriteOnce")) {
    return capabilities.singleNodeMultiWriter ? Mode.SINGLE_NODE_MULTI_WRITER : Mode.SINGLE_NODE_WRITER;
  }
  return modes.includes("ReadOnlyMany") ? Mode.MULTI_NODE_READER_ONLY : Mode.SINGLE_NODE_WRITER;
}

type VolumeCapabilityInit = NonNullable<
  Parameters<RegisteredDriver["node"]["nodePublishVolume"]>[0]["volumeCapability"]
>;

/** What NodeStageVolume and NodePublishVolume are told about how the volume is to be used. */
export function volumeCapability(
  volume: CsiVolume,
  capabilities: NodeCapabilities,
  fsGroup: number | undefined,
): VolumeCapabilityInit {
  return {
    accessMode: { mode: accessMode(volume.accessModes, capabilities) },
    accessType: volume.block
      ? { case: "block" as const, value: {} }
      : {
          case: "mount" as const,
          value: {
            fsType: volume.fsType,
            mountFlags: [...volume.mountOptions],
            volumeMountGroup: capabilities.volumeMountGroup && fsGroup !== undefined ? String(fsGroup) : "",
          },
        },
  };
}
