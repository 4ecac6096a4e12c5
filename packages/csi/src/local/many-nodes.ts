import { type VolumeCapability, VolumeCapability_AccessMode_Mode as Mode } from "@tripod/api/csi";

const manyNodes: ReadonlySet<Mode> = new Set([
  Mode.MULTI_NODE_READER_ONLY,
  Mode.MULTI_NODE_SINGLE_WRITER,
  Mode.MULTI_NODE_MULTI_WRITER,
]);

/** Whether a volume is asked for that several nodes may use at a time, which none can that lies on one. */
export const isForManyNodes = ({ accessMode }: VolumeCapability): boolean =>
  manyNodes.has(accessMode?.mode ?? Mode.UNKNOWN);
