import type { TopologyRequirement } from "@tripod/api/csi";

/** Where a local driver's volumes are: on one node. */
export interface LocalTopology {
  readonly key: string;
  readonly nodeId: string;
  readonly here: { readonly segments: Record<string, string> };
  /** Whether a requirement lets a volume be here. An empty one does. */
  allows(requirement: TopologyRequirement | undefined): boolean;
}

/** The topology of a driver on a node; its key is topology.DRIVER/node. */
export function localTopology(driverName: string, nodeId: string): LocalTopology {
  const key = `topology.${driverName}/node`;
  return {
    key,
    nodeId,
    here: { segments: { [key]: nodeId } },
    allows(requirement) {
      const requisite = requirement?.requisite ?? [];
      return requisite.length === 0 || requisite.some(({ segments }) => segments[key] === nodeId);
    },
  };
}
