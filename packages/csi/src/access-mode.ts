import { VolumeCapability_AccessMode_Mode as Mode } from "@tripod/api/csi";
import type { PersistentVolumeAccessMode } from "@tripod/api/kubernetes";

/** CSI's name for an access mode of Kubernetes; it depends on whether the driver tells single writers apart (SINGLE_NODE_MULTI_WRITER). */
export function accessModeOf(mode: PersistentVolumeAccessMode, tellsWritersApart: boolean): Mode {
  switch (mode) {
    case "ReadWriteOnce":
      return tellsWritersApart ? Mode.SINGLE_NODE_MULTI_WRITER : Mode.SINGLE_NODE_WRITER;
    case "ReadWriteOncePod":
      return tellsWritersApart ? Mode.SINGLE_NODE_SINGLE_WRITER : Mode.SINGLE_NODE_WRITER;
    case "ReadOnlyMany":
      return Mode.MULTI_NODE_READER_ONLY;
    case "ReadWriteMany":
      return Mode.MULTI_NODE_MULTI_WRITER;
  }
}
