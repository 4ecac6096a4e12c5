import type {
  Event,
  KubernetesObject,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Stored,
  VolumeAttachment,
} from "@tripod/api/kubernetes";

const timeOf = ({ lastTimestamp, eventTime, metadata }: Event): string =>
  String(lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? "");

/** The latest Event about an object, of some reasons or of any. */
function lastEvent(
  about: Stored<KubernetesObject>,
  events: readonly Event[],
  isMeant: (event: Event) => boolean,
): Event | undefined {
  return events
    .filter((event) => event.involvedObject.uid === about.metadata.uid && isMeant(event))
    .toSorted((a, b) => (timeOf(a) < timeOf(b) ? -1 : 1))
    .at(-1);
}

const told = (event: Event | undefined): string | undefined =>
  event === undefined ? undefined : `${event.reason}: ${event.message}`;

/** The latest Event about a claim; one that says that the driver is asked again is less than why it had refused. */
function whyUnbound(claim: Stored<PersistentVolumeClaim>, events: readonly Event[]): Event | undefined {
  const asked = ["Provisioning", "ExternalProvisioning"];
  const before = lastEvent(claim, events, ({ reason }) => !asked.includes(reason ?? ""));
  return before?.type === "Warning" ? before : lastEvent(claim, events, () => true);
}

/** Pure: what keeps a claim from being bound, as large as it asks, or gone; undefined when nothing does. */
export function claimWait(
  claim: Stored<PersistentVolumeClaim>,
  users: readonly Stored<Pod>[],
  events: readonly Event[],
): string | undefined {
  if (claim.metadata.deletionTimestamp !== undefined) {
    const names = users.map(({ metadata }) => metadata.name);
    return names.length > 0
      ? `the end of its Pods ${names.join(", ")}`
      : `its finalizers ${(claim.metadata.finalizers ?? []).join(", ")}`;
  }
  if (claim.status?.phase !== "Bound")
    return told(whyUnbound(claim, events)) ?? "nothing has looked at it yet; do the controllers run?";
  const conditions = claim.status.conditions?.filter(({ status }) => status === "True") ?? [];
  // What failed says more than what goes on.
  const condition = conditions.find(({ type }) => type.endsWith("Error")) ?? conditions[0];
  if (condition !== undefined) return [condition.type, condition.message].filter((each) => each).join(": ");
  if (claim.status.modifyVolumeStatus === undefined) return undefined;
  return (
    told(lastEvent(claim, events, ({ reason }) => reason === "VolumeModifyFailed")) ??
    `the attributes of VolumeAttributesClass ${claim.spec.volumeAttributesClassName}`
  );
}

/** Pure: what keeps a volume from being used or gone; undefined when nothing does. */
export function volumeWait({ metadata, spec, status }: Stored<PersistentVolume>): string | undefined {
  if (status?.message) return status.message;
  if (metadata.deletionTimestamp !== undefined) return `its finalizers ${(metadata.finalizers ?? []).join(", ")}`;
  if (status?.phase !== "Released") return undefined;
  return spec.persistentVolumeReclaimPolicy === "Delete"
    ? "its driver to delete it"
    : "somebody to delete it, or to take off its claimRef for the next claim";
}

/** Pure: what keeps a volume from being attached, or detached. */
export function attachmentWait({ metadata, status }: Stored<VolumeAttachment>): string | undefined {
  if (metadata.deletionTimestamp !== undefined) return status?.detachError?.message ?? "its driver to detach it";
  if (status?.attached === true) return undefined;
  return status?.attachError?.message ?? "its driver to attach it";
}

/** How far a volume has come on its way to a Pod: the claim is not bound, it is not on the Pod's node yet, it is. */
export type Progress = "unbound" | "away" | "there";

/** Pure: what keeps a Pod with volumes from running, or from being gone. */
export function podWait(pod: Stored<Pod>, events: readonly Event[], progress: Progress): string | undefined {
  const warning = (): string | undefined => told(lastEvent(pod, events, ({ type }) => type === "Warning"));
  if (pod.metadata.deletionTimestamp !== undefined)
    return warning() ?? (progress === "there" ? "its containers to end and its volumes to be unmounted" : undefined);
  if (pod.status?.phase !== "Pending") return undefined;
  return warning() ?? nextStep(pod, progress);
}

function nextStep({ spec }: Stored<Pod>, progress: Progress): string {
  if (progress === "unbound") return "its claim to be bound";
  if (spec.nodeName === undefined) return "a node: the scheduler has not placed it";
  return progress === "away" ? "its volume to be mounted" : "its containers to be started";
}
