import type { CSINode, CSINodeDriver } from "@tripod/api/kubernetes";

/** What a node's kubelet tells of a driver; undefined while that has not registered there. */
export const nodeDriver = (csiNode: CSINode | undefined, driver: string): CSINodeDriver | undefined =>
  // A kubelet writes an empty list as none at all, and API servers then send null.
  (csiNode?.spec.drivers ?? []).find(({ name }) => name === driver);
