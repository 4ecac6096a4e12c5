import type { TopologyRequirement } from "@tripod/api/csi";

export const driverName = "hostpath.csi.tripod.dev";
/** The topology key: a volume is a folder of one node. */
export const topologyKey = `topology.${driverName}/node`;

/** Whether a requirement lets a volume be on `nodeId`. An empty one does. */
export function allowsNode(requirement: TopologyRequirement | undefined, nodeId: string): boolean {
  const requisite = requirement?.requisite ?? [];
  return requisite.length === 0 || requisite.some(({ segments }) => segments[topologyKey] === nodeId);
}
