import { createHash } from "node:crypto";
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  Node,
  OwnerReference,
  StorageClass,
  Stored,
} from "@tripod/api/kubernetes";
import { type Segments, segmentsKey, segmentsOf } from "../csi/segments.ts";
import { waitsForConsumer } from "../volumes/volume-state.ts";

const managerLabel = "csi.storage.k8s.io/managed-by";
export const manager = "tripod-controllers";
const driverLabel = "csi.storage.k8s.io/drivername";
/** They belong to a driver, which has no namespace. */
export const capacityNamespace = "kube-system";

/** One amount of storage that the scheduler needs to know: that for a class's volumes at one place. */
export interface WantedCapacity {
  readonly name: string;
  readonly driver: Stored<CSIDriver>;
  readonly class: StorageClass;
  readonly segments: Segments;
}

export interface CapacityFacts {
  readonly drivers: readonly Stored<CSIDriver>[];
  /** In the terms of the drivers that serve them. */
  readonly classes: readonly StorageClass[];
  readonly nodes: readonly { readonly node: Node; readonly csiNode: CSINode | undefined }[];
  /** Whether the driver's volumes are not reachable from everywhere; undefined when it is not there, or cannot tell. */
  hasTopology(driver: string): boolean | undefined;
}

/** Pure: what has to be known, by the name of the object that says it; of drivers that ask for it, for classes that wait for a consumer. */
export function wantedCapacities(facts: CapacityFacts): Map<string, WantedCapacity> {
  const wanted = new Map<string, WantedCapacity>();
  for (const driver of facts.drivers) {
    const { name: driverName } = driver.metadata;
    const hasTopology = facts.hasTopology(driverName);
    if (driver.spec.storageCapacity !== true || hasTopology === undefined) continue;
    const places = hasTopology ? placesOf(driverName, facts.nodes) : [{}];
    for (const storageClass of facts.classes) {
      if (storageClass.provisioner !== driverName || !waitsForConsumer(storageClass)) continue;
      for (const segments of places) {
        const name = capacityName(driverName, storageClass.metadata.name ?? "", segments);
        wanted.set(name, { name, driver, class: storageClass, segments });
      }
    }
  }
  return wanted;
}

function placesOf(driver: string, nodes: CapacityFacts["nodes"]): Segments[] {
  const distinct = new Map<string, Segments>();
  for (const { node, csiNode } of nodes) {
    const segments = segmentsOf(driver, node, csiNode);
    if (segments !== undefined) distinct.set(segmentsKey(segments), segments);
  }
  return [...distinct.values()];
}

/** The same for the same question, so that there is one object for it whoever begins anew. */
const capacityName = (driver: string, storageClass: string, segments: Segments): string =>
  `csisc-${createHash("sha256")
    .update([driver, storageClass, segmentsKey(segments)].join("\0"))
    .digest("hex")
    .slice(0, 20)}`;

/** Pure: the object that says so much. */
export function capacityObject(
  { name, driver, class: storageClass, segments }: WantedCapacity,
  amounts: Pick<CSIStorageCapacity, "capacity" | "maximumVolumeSize">,
): CSIStorageCapacity {
  const owner: OwnerReference = {
    apiVersion: "storage.k8s.io/v1",
    kind: "CSIDriver",
    name: driver.metadata.name,
    uid: driver.metadata.uid,
  };
  return {
    metadata: {
      name,
      namespace: capacityNamespace,
      labels: { [driverLabel]: driver.metadata.name, [managerLabel]: manager },
      ownerReferences: [owner],
    },
    storageClassName: storageClass.metadata.name ?? "",
    nodeTopology: { matchLabels: { ...segments } },
    ...amounts,
  };
}

export const driverOfCapacity = ({ metadata }: CSIStorageCapacity): string => metadata.labels?.[driverLabel] ?? "";
export const isOurs = ({ metadata }: CSIStorageCapacity): boolean => metadata.labels?.[managerLabel] === manager;
