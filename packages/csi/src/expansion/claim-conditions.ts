import { type PersistentVolumeClaim, type PersistentVolumeClaimCondition, timeNow } from "@tripod/api/kubernetes";

/** What to say of a claim, or null to say it no more. */
export type ConditionChange = Pick<PersistentVolumeClaimCondition, "reason" | "message"> | null;
/** By the type of the condition. */
export type ConditionChanges = Readonly<Record<string, ConditionChange>>;

/** Pure: a claim's conditions with some of them changed; one that says the same as before keeps its time. */
export function withConditions(
  { status }: PersistentVolumeClaim,
  changes: ConditionChanges,
  now = timeNow(),
): PersistentVolumeClaimCondition[] {
  const before = status?.conditions ?? [];
  const kept = before.filter(({ type }) => changes[type] === undefined);
  const said = Object.entries(changes).flatMap(([type, change]): PersistentVolumeClaimCondition[] => {
    if (change === null) return [];
    const old = before.find((each) => each.type === type && each.status === "True");
    const same = old !== undefined && old.reason === change.reason && old.message === change.message;
    return [
      { type, status: "True", lastTransitionTime: (same ? old.lastTransitionTime : undefined) ?? now, ...change },
    ];
  });
  return [...kept, ...said];
}

/** Nothing is said of growth any more. */
export const noGrowth = {
  Resizing: null,
  FileSystemResizePending: null,
  ControllerResizeError: null,
  NodeResizeError: null,
} as const satisfies ConditionChanges;
