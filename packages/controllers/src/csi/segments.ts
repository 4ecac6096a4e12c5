import type { CSINode, Node } from "@tripod/api/kubernetes";
import { nodeDriver } from "./node-driver.ts";

/** A place in a driver's own keys: {"topology.example.com/zone": "a"}. */
export type Segments = Readonly<Record<string, string>>;

/** Where a node is; undefined while the driver has not registered there. */
export function segmentsOf(driver: string, node: Node, csiNode: CSINode | undefined): Segments | undefined {
  const keys = nodeDriver(csiNode, driver)?.topologyKeys;
  if (keys === undefined || keys.length === 0) return undefined;
  const segments: Record<string, string> = {};
  for (const key of keys) {
    const value = node.metadata.labels?.[key];
    if (value === undefined) return undefined;
    segments[key] = value;
  }
  return segments;
}

/** The same text for the same place. */
export const segmentsKey = (segments: Segments): string =>
  JSON.stringify(Object.entries(segments).sort(([a], [b]) => (a < b ? -1 : 1)));
