import type {
  Event,
  KubernetesObject,
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
    return told(lastEvent(claim, events, () => true)) ?? "nothing has looked at it yet; do the controllers run?";
  const condition = claim.status.conditions?.find(({ status }) => status === "True");
  if (condition !== undefined) return [condition.type, condition.message].filter((each) => each).join(": ");
  return undefined;
}

/** Pure: what keeps a volume from being attached, or detached. */
export function attachmentWait({ metadata, status }: Stored<VolumeAttachment>): string | undefined {
  if (metadata.deletionTimestamp !== undefined) return status?.detachError?.message ?? "its driver to detach it";
  if (status?.attached === true) return undefined;
  return status?.attachError?.message ?? "its driver to attach it";
}

/** Pure: what keeps a Pod with volumes from running, or from being gone. */
export function podWait(pod: Stored<Pod>, events: readonly Event[]): string | undefined {
  const isWarning = ({ type }: Event): boolean => type === "Warning";
  if (pod.metadata.deletionTimestamp !== undefined) return told(lastEvent(pod, events, isWarning));
  if (pod.status?.phase !== "Pending") return undefined;
  const warning = told(lastEvent(pod, events, isWarning));
  if (warning !== undefined) return warning;
  return pod.spec.nodeName === undefined ? "a node: the scheduler has not placed it" : "its containers to be started";
}
