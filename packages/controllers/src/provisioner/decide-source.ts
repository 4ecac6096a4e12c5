import type { MessageInitShape } from "@bufbuild/protobuf";
import { ControllerServiceCapability_RPC_Type as Rpc, type VolumeContentSourceSchema } from "@tripod/api/csi";
import {
  compareQuantities,
  type KubernetesObject,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type StorageClass,
  type Stored,
  type VolumeSnapshot,
  type VolumeSnapshotContent,
} from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { cloneSourceFinalizer } from "../protection/decide-source-protection.ts";
import { isReferenceTo } from "../snapshots/snapshot-state.ts";
import { claimReference } from "../volumes/volume-state.ts";

/** On a content: volumes of another mode than the source's may be made of it. */
const allowModeChange = "snapshot.storage.kubernetes.io/allow-volume-mode-change";

/** What a new volume begins with. */
export type VolumeSource =
  | { readonly kind: "empty" }
  /** Somebody else makes the volume and fills it. */
  | { readonly kind: "populator" }
  /** The driver copies; `claim` is to be held while it does. */
  | {
      readonly kind: "copy";
      readonly source: MessageInitShape<typeof VolumeContentSourceSchema>;
      readonly claim?: Stored<PersistentVolumeClaim>;
    };

export interface SourceFacts {
  readonly class: StorageClass;
  readonly rpcs: ReadonlySet<Rpc>;
  snapshot(key: string): Stored<VolumeSnapshot> | undefined;
  content(name: string): Stored<VolumeSnapshotContent> | undefined;
  claim(key: string): Stored<PersistentVolumeClaim> | undefined;
  volume(name: string): Stored<PersistentVolume> | undefined;
}

/** Pure: what a claim's volume is to begin with. Throws "failed-precondition", with what it waits for, or what to change. */
export function decideSource(claim: Stored<PersistentVolumeClaim>, facts: SourceFacts): VolumeSource {
  const { dataSource, dataSourceRef } = claim.spec;
  const named = dataSource ?? dataSourceRef;
  if (named === undefined) return { kind: "empty" };
  const { apiGroup = "", kind, name } = named;
  const refuse: Refuse = (why) => {
    throw new TripodError("failed-precondition", `its data source ${kind} ${name} ${why}`);
  };
  if (apiGroup === "snapshot.storage.k8s.io" && kind === "VolumeSnapshot")
    return ofSnapshot(claim, name, facts, refuse);
  if (apiGroup === "" && kind === "PersistentVolumeClaim") return ofClaim(claim, name, facts, refuse);
  return { kind: "populator" };
}

type Refuse = (why: string) => never;

function ofSnapshot(
  claim: Stored<PersistentVolumeClaim>,
  name: string,
  facts: SourceFacts,
  refuse: Refuse,
): VolumeSource {
  const driver = facts.class.provisioner;
  if (!facts.rpcs.has(Rpc.CREATE_DELETE_SNAPSHOT)) return refuse(`cannot be used: driver ${driver} has no snapshots`);
  const snapshot = facts.snapshot(`${claim.metadata.namespace}/${name}`);
  if (snapshot === undefined) return refuse("is not there");
  if (wasDeletedBefore(snapshot, claim)) return refuse("is being deleted");
  const contentName = snapshot.status?.boundVolumeSnapshotContentName;
  if (contentName === undefined) return refuse("is not bound to a VolumeSnapshotContent yet");
  const content = facts.content(contentName);
  if (content === undefined || !isReferenceTo(content.spec.volumeSnapshotRef, snapshot))
    return refuse(`is not what VolumeSnapshotContent ${contentName} was made for`);
  if (content.spec.driver !== driver)
    return refuse(`is of driver ${content.spec.driver}, and the class ${facts.class.metadata.name} of ${driver}`);
  const snapshotId = content.status?.snapshotHandle;
  if (snapshot.status?.readyToUse !== true || snapshotId === undefined) return refuse("is not ready to use yet");
  const { restoreSize } = snapshot.status;
  checkSize(claim, restoreSize, refuse);
  const { sourceVolumeMode: mode } = content.spec;
  const allowed = content.metadata.annotations?.[allowModeChange] === "true";
  if (mode !== undefined && mode !== modeOf(claim) && !allowed)
    return refuse(
      `has mode ${mode}, and the claim asks for ${modeOf(claim)}; annotate ${contentName} with ${allowModeChange}=true to allow that`,
    );
  return { kind: "copy", source: { type: { case: "snapshot", value: { snapshotId } } } };
}

function ofClaim(claim: Stored<PersistentVolumeClaim>, name: string, facts: SourceFacts, refuse: Refuse): VolumeSource {
  const driver = facts.class.provisioner;
  if (!facts.rpcs.has(Rpc.CLONE_VOLUME)) return refuse(`cannot be used: driver ${driver} does not clone volumes`);
  const source = facts.claim(`${claim.metadata.namespace}/${name}`);
  if (source === undefined) return refuse("is not there");
  const isHeld = source.metadata.finalizers?.includes(cloneSourceFinalizer) === true;
  if (wasDeletedBefore(source, claim) || (source.metadata.deletionTimestamp !== undefined && !isHeld))
    return refuse("is being deleted");
  if (source.status?.phase !== "Bound") return refuse("is not bound to a volume yet");
  const volume = facts.volume(source.spec.volumeName ?? "");
  const reference = claimReference(source);
  const { claimRef, csi } = volume?.spec ?? {};
  const isIts =
    claimRef?.uid === reference.uid && claimRef?.namespace === reference.namespace && claimRef?.name === reference.name;
  if (volume?.status?.phase !== "Bound" || !isIts) return refuse("has no volume that is bound to it");
  if (csi?.driver !== driver)
    return refuse(`is of driver ${csi?.driver ?? "(none)"}, and the class ${facts.class.metadata.name} of ${driver}`);
  checkSize(claim, source.spec.resources?.requests?.storage, refuse);
  if (modeOf(source) !== modeOf(claim)) return refuse(`has mode ${modeOf(source)}, and the claim ${modeOf(claim)}`);
  return { kind: "copy", source: { type: { case: "volume", value: { volumeId: csi.volumeHandle } } }, claim: source };
}

/** What waited for a source when its deletion began, the source still waits for. */
const wasDeletedBefore = (
  { metadata: { deletionTimestamp } }: Stored<KubernetesObject>,
  claim: Stored<KubernetesObject>,
) => deletionTimestamp !== undefined && claim.metadata.creationTimestamp > deletionTimestamp;

const modeOf = ({ spec }: PersistentVolumeClaim): string => spec.volumeMode ?? "Filesystem";

function checkSize(claim: PersistentVolumeClaim, least: string | undefined, refuse: Refuse): void {
  const asked = claim.spec.resources?.requests?.storage ?? "0";
  if (least !== undefined && compareQuantities(asked, least) < 0)
    refuse(`needs ${least}, and the claim asks for ${asked}`);
}
