import { type VolumeHealth_VolumeHealthEntry, VolumeHealthErrorType } from "@tripod/api/csi";
import type { VolumeHealthCondition, VolumeHealthStatusType } from "@tripod/api/kubernetes";

/** Kinds of trouble that are known; others are ignored, as the specification wants it. */
const statuses: Readonly<Partial<Record<VolumeHealthErrorType, VolumeHealthStatusType>>> = {
  [VolumeHealthErrorType.DEGRADED]: "Degraded",
  [VolumeHealthErrorType.INACCESSIBLE]: "Inaccessible",
  [VolumeHealthErrorType.DATA_LOSS]: "DataLoss",
};
/** As many of a volume's problems are told, and as many characters of each. */
const mostProblems = 10;
const mostCharacters = 256;

type Entry = Pick<VolumeHealth_VolumeHealthEntry, "status" | "reason" | "message">;

/** Pure: what a claim says of its volume, in an order of its own; empty when it is well. */
export const healthConditions = (entries: readonly Entry[]): VolumeHealthCondition[] =>
  entries
    .flatMap(({ status, reason, message }): VolumeHealthCondition[] => {
      const known = statuses[status];
      if (known === undefined) return [];
      const text = message.slice(0, mostCharacters);
      return [{ status: known, reason: reason.slice(0, mostCharacters), ...(text === "" ? {} : { message: text }) }];
    })
    .toSorted((a, b) => (`${a.status} ${a.reason}` < `${b.status} ${b.reason}` ? -1 : 1))
    .slice(0, mostProblems);

/** What an Event says of them. */
export const healthText = (conditions: readonly VolumeHealthCondition[]): string =>
  conditions
    .map(({ status, reason, message = "" }) => [status, reason, message].filter((part) => part !== "").join(": "))
    .join("; ");
