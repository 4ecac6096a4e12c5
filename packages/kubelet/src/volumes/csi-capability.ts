import { accessModeOf } from "@tripod/csi";
import type { NodeCapabilities, RegisteredDriver } from "./csi-drivers.ts";
import type { CsiVolume } from "./csi-spec.ts";

/** Of a volume's access modes the one that it is mounted with: the first of these that it has. */
const preferred = ["ReadWriteMany", "ReadWriteOncePod", "ReadWriteOnce", "ReadOnlyMany"] as const;

type VolumeCapabilityInit = NonNullable<
  Parameters<RegisteredDriver["node"]["nodePublishVolume"]>[0]["volumeCapability"]
>;

/** What NodeStageVolume and NodePublishVolume are told about how the volume is to be used. */
export function volumeCapability(
  volume: CsiVolume,
  capabilities: NodeCapabilities,
  fsGroup: number | undefined,
): VolumeCapabilityInit {
  // Inline volumes have none; upstream's kubelet takes them for ReadWriteOnce, too.
  const mode = preferred.find((each) => volume.accessModes.includes(each)) ?? "ReadWriteOnce";
  return {
    accessMode: { mode: accessModeOf(mode, capabilities.singleNodeMultiWriter) },
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
