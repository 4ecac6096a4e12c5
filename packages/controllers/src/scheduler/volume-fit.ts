import type {
  CSINode,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  StorageClass,
  Stored,
} from "@tripod/api/kubernetes";
import { asCsiVolume } from "@tripod/csi/migration";
import { annotations } from "../volumes/annotations.ts";
import { matchVolume } from "../volumes/match-volume.ts";
import { claimsOf } from "../volumes/pod-claims.ts";
import { isFullyBound, waitsForConsumer } from "../volumes/volume-state.ts";
import { matchesTerm, volumeReaches } from "./node-affinity.ts";

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
  readonly volumes: readonly Stored<PersistentVolume>[];
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
  node: Node,
  facts: VolumeFacts,
): VolumePlan | { readonly reason: string } {
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
        ? matchVolume(
            claim,
            facts.volumes.filter((candidate) => !taken.has(candidate.metadata.name)),
            { reaches: (candidate) => volumeReaches(candidate.spec.nodeAffinity, node) },
          )
        : undefined;
    if (volume !== undefined) bind.push({ claim, volume });
    else if (storageClass.provisioner === noProvisioner)
      return { reason: "node(s) didn't find available persistent volumes to bind" };
    else if (!topologyAllowed(storageClass, node))
      return { reason: "node(s) didn't match the storage class's allowed topologies" };
    else provision.push(claim);
  }
  const conflict = exclusiveConflict(pod, wanted, facts) ?? attachLimit(pod, wanted, node, facts);
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

const driverOf = (volume: PersistentVolume): string | undefined => asCsiVolume(volume)?.spec.csi.driver;

function attachLimit(pod: Pod, wanted: PodVolumes, node: Node, facts: VolumeFacts): string | undefined {
  const drivers = facts.csiNode(node.metadata.name ?? "")?.spec.drivers ?? [];
  for (const driver of drivers) {
    const limit = driver.allocatable?.count;
    if (limit === undefined) continue;
    const inUse = new Set<string>();
    for (const volume of facts.volumes) {
      if (driverOf(volume) !== driver.name || volume.spec.claimRef === undefined) continue;
      const { namespace, name } = volume.spec.claimRef;
      const users = facts.podsUsing(`${namespace}/${name}`);
      if (users.some((user) => user.spec.nodeName === node.metadata.name && user.metadata.uid !== pod.metadata.uid))
        inUse.add(volume.metadata.name);
    }
    for (const { volume } of wanted.bound) if (driverOf(volume) === driver.name) inUse.add(volume.metadata.name);
    const coming = wanted.waiting.filter((each) => each.class.provisioner === driver.name).length;
    const asks = coming + wanted.bound.filter(({ volume }) => driverOf(volume) === driver.name).length;
    if (asks > 0 && inUse.size + coming > limit) return "node(s) exceed max volume count";
  }
  return undefined;
}
