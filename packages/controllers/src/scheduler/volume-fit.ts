import {
  compareQuantities,
  type CSIDriver,
  type CSINode,
  type CSIStorageCapacity,
  keyOf,
  labelRequirements,
  matchesLabels,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type StorageClass,
  type Stored,
} from "@tripod/api/kubernetes";
import { annotations } from "../volumes/annotations.ts";
import { knownCsiVolume } from "../volumes/known-csi-volume.ts";
import { matchVolume } from "../volumes/match-volume.ts";
import { claimsOf, isMadeFor } from "../volumes/pod-claims.ts";
import type { VolumePool } from "../volumes/volume-pool.ts";
import { isFullyBound, waitsForConsumer } from "../volumes/volume-state.ts";
import { matchesTerm, volumeReaches } from "./node-affinity.ts";

/** A node with the Pods that run, or are about to run, on it. */
interface PodsOnNode {
  readonly node: Node;
  readonly pods: readonly Pod[];
}

/** What the volumes of a Pod ask of nodes. */
export interface PodVolumes {
  /** Bound claims, with their volumes. */
  readonly bound: readonly {
    readonly claim: Stored<PersistentVolumeClaim>;
    readonly volume: Stored<PersistentVolume>;
  }[];
  /** Claims that are bound only once a node is chosen. */
  readonly waiting: readonly { readonly claim: Stored<PersistentVolumeClaim>; readonly class: StorageClass }[];
}

export interface VolumeFacts {
  claim(key: string): Stored<PersistentVolumeClaim> | undefined;
  volume(name: string): Stored<PersistentVolume> | undefined;
  class(name: string): StorageClass | undefined;
  csiNode(name: string): CSINode | undefined;
  driver(name: string): CSIDriver | undefined;
  /** How much storage there is for volumes of a class, and where. */
  capacities(storageClass: string): readonly CSIStorageCapacity[];
  readonly pool: VolumePool;
  /** Pods on any node that use the claim. */
  podsUsing(claimKey: string): readonly Pod[];
}

/** The Pod's claims sorted by state, or why the Pod can run nowhere as they are. */
export function podVolumes(pod: Pod, facts: VolumeFacts): PodVolumes | { readonly reason: string } {
  const bound: PodVolumes["bound"][number][] = [];
  const waiting: PodVolumes["waiting"][number][] = [];
  for (const { key, name, ephemeral } of claimsOf(pod)) {
    const claim = facts.claim(key);
    if (claim === undefined)
      return {
        reason: ephemeral
          ? `waiting for ephemeral volume controller to create the persistentvolumeclaim "${name}"`
          : `persistentvolumeclaim "${name}" not found`,
      };
    if (ephemeral && !isMadeFor(claim, pod))
      return { reason: `PVC ${key} was not created for pod ${keyOf(pod)} (pod is not owner)` };
    if (claim.metadata.deletionTimestamp !== undefined)
      return { reason: `persistentvolumeclaim "${name}" is being deleted` };
    if (claim.status?.phase === "Lost")
      return {
        reason: `persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec.volumeName}"`,
      };
    if (isFullyBound(claim)) {
      const volume = facts.volume(claim.spec.volumeName ?? "");
      if (volume === undefined) return { reason: `persistentvolume "${claim.spec.volumeName}" not found` };
      bound.push({ claim, volume });
      continue;
    }
    const storageClass = facts.class(claim.spec.storageClassName ?? "");
    if (storageClass === undefined || !waitsForConsumer(storageClass) || claim.spec.volumeName !== undefined)
      return { reason: "pod has unbound immediate PersistentVolumeClaims" };
    waiting.push({ claim, class: storageClass });
  }
  return { bound, waiting };
}

const noProvisioner = "kubernetes.io/no-provisioner";

/** How the waiting claims would be served on a node: by a volume that is there, or by provisioning. */
export interface VolumePlan {
  readonly bind: readonly {
    readonly claim: Stored<PersistentVolumeClaim>;
    readonly volume: Stored<PersistentVolume>;
  }[];
  readonly provision: readonly Stored<PersistentVolumeClaim>[];
}

/** The plan for a node, or why the Pod's volumes keep it off that node. */
export function planVolumes(
  pod: Pod,
  wanted: PodVolumes,
  state: PodsOnNode,
  facts: VolumeFacts,
): VolumePlan | { readonly reason: string } {
  const { node } = state;
  if (wanted.bound.some(({ volume }) => !volumeReaches(volume.spec.nodeAffinity, node)))
    return { reason: "node(s) had volume node affinity conflict" };
  const bind: VolumePlan["bind"][number][] = [];
  const provision: Stored<PersistentVolumeClaim>[] = [];
  for (const { claim, class: storageClass } of wanted.waiting) {
    const selected = claim.metadata.annotations?.[annotations.selectedNode];
    if (selected !== undefined && selected !== node.metadata.name)
      return { reason: "node(s) didn't find available persistent volumes to bind" };
    const taken = new Set(bind.map((plan) => plan.volume.metadata.name));
    const volume =
      selected === undefined
        ? matchVolume(claim, facts.pool, {
            taken,
            reaches: (candidate) => volumeReaches(candidate.spec.nodeAffinity, node),
          })
        : undefined;
    if (volume !== undefined) bind.push({ claim, volume });
    else if (storageClass.provisioner === noProvisioner)
      return { reason: "node(s) didn't find available persistent volumes to bind" };
    else if (!topologyAllowed(storageClass, node))
      return { reason: "node(s) didn't match the storage class's allowed topologies" };
    else if (!hasStorage(claim, storageClass, node, facts))
      return { reason: "node(s) did not have enough free storage" };
    else provision.push(claim);
  }
  const conflict = exclusiveConflict(pod, wanted, facts) ?? attachLimit(pod, wanted, state, facts);
  return conflict === undefined ? { bind, provision } : { reason: conflict };
}

function topologyAllowed(storageClass: StorageClass, node: Node): boolean {
  const terms = storageClass.allowedTopologies ?? [];
  if (terms.length === 0) return true;
  return terms.some((term) =>
    matchesTerm(
      {
        matchExpressions: (term.matchLabelExpressions ?? []).map(({ key, values }) => ({
          key,
          operator: "In" as const,
          values,
        })),
      },
      node,
    ),
  );
}

function exclusiveConflict(pod: Pod, wanted: PodVolumes, facts: VolumeFacts): string | undefined {
  for (const { claim } of wanted.bound) {
    if (claim.spec.accessModes?.includes("ReadWriteOncePod") !== true) continue;
    const others = facts.podsUsing(`${claim.metadata.namespace}/${claim.metadata.name}`);
    if (others.some((other) => other.metadata.uid !== pod.metadata.uid && other.spec.nodeName !== undefined))
      return "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";
  }
  return undefined;
}

const driverOf = (volume: PersistentVolume): string | undefined => knownCsiVolume(volume)?.spec.csi.driver;

function attachLimit(pod: Pod, wanted: PodVolumes, { node, pods }: PodsOnNode, facts: VolumeFacts): string | undefined {
  const drivers = facts.csiNode(node.metadata.name ?? "")?.spec.drivers ?? [];
  for (const driver of drivers) {
    const limit = driver.allocatable?.count;
    if (limit === undefined) continue;
    const asked = wanted.bound.filter(({ volume }) => driverOf(volume) === driver.name);
    const coming = wanted.waiting.filter((each) => each.class.provisioner === driver.name).length;
    if (coming + asked.length === 0) continue;
    const inUse = new Set(asked.map(({ volume }) => volume.metadata.name));
    for (const other of pods)
      for (const { key } of other.metadata.uid === pod.metadata.uid ? [] : claimsOf(other)) {
        const volume = facts.volume(facts.claim(key)?.spec.volumeName ?? "");
        if (volume !== undefined && driverOf(volume) === driver.name) inUse.add(volume.metadata.name);
      }
    if (inUse.size + coming > limit) return "node(s) exceed max volume count";
  }
  return undefined;
}

/** Whether a driver that tells how much storage it has, and where, has enough for a claim that a node can reach. */
function hasStorage(claim: PersistentVolumeClaim, storageClass: StorageClass, node: Node, facts: VolumeFacts): boolean {
  if (facts.driver(storageClass.provisioner)?.spec.storageCapacity !== true) return true;
  const wanted = claim.spec.resources?.requests?.storage;
  if (wanted === undefined) return true;
  return facts.capacities(storageClass.metadata.name ?? "").some(({ nodeTopology, capacity, maximumVolumeSize }) => {
    const most = maximumVolumeSize ?? capacity;
    const requirements = labelRequirements(nodeTopology);
    return (
      most !== undefined &&
      requirements !== undefined &&
      compareQuantities(most, wanted) >= 0 &&
      matchesLabels(requirements, node.metadata.labels)
    );
  });
}
