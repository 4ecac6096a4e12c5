import { type NamespaceCondition, timeNow } from "@tripod/api/kubernetes";
import type { Remaining } from "./namespace-content.ts";

const most = 10;

const listing = (entries: Iterable<readonly [string, number]>, text: (name: string, count: number) => string): string =>
  [...entries]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, most)
    .map(([name, count]) => text(name, count))
    .join(", ");

/**
 * Pure: what a namespace that is going says about what holds it up, in upstream's conditions. A condition keeps the time of its last
 * change.
 */
export function namespaceConditions(
  old: readonly NamespaceCondition[],
  discoveryFailures: readonly string[],
  remaining: Remaining,
  now: string = timeNow(),
): NamespaceCondition[] {
  const make = (
    type: string,
    problem: string | undefined,
    reason: string,
    fine: readonly [reason: string, message: string],
  ): NamespaceCondition => {
    const status = problem === undefined ? "False" : "True";
    const before = old.find((condition) => condition.type === type);
    return {
      type,
      status,
      reason: problem === undefined ? fine[0] : reason,
      message: problem ?? fine[1],
      lastTransitionTime: before?.status === status ? (before.lastTransitionTime ?? now) : now,
    };
  };
  const first = (list: readonly string[]): string | undefined =>
    list.length === 0 ? undefined : list.slice(0, most).join("; ");
  const resources = listing(remaining.counts, (name, count) => `${name} has ${count} resource instances`);
  const finalizers = listing(remaining.finalizers, (name, count) => `${name} in ${count} resource instances`);
  return [
    make("NamespaceDeletionDiscoveryFailure", first(discoveryFailures), "DiscoveryFailed", [
      "ResourcesDiscovered",
      "All resources successfully discovered",
    ]),
    make("NamespaceDeletionGroupVersionParsingFailure", undefined, "", [
      "ParsedGroupVersions",
      "All legacy kube types successfully parsed",
    ]),
    make("NamespaceDeletionContentFailure", first(remaining.failures), "ContentDeletionFailed", [
      "ContentDeleted",
      "All content successfully deleted, may be waiting on finalization",
    ]),
    make(
      "NamespaceContentRemaining",
      resources === "" ? undefined : `Some resources are remaining: ${resources}`,
      "SomeResourcesRemain",
      ["ContentRemoved", "All content successfully removed"],
    ),
    make(
      "NamespaceFinalizersRemaining",
      finalizers === "" ? undefined : `Some content in the namespace has finalizers remaining: ${finalizers}`,
      "SomeFinalizersRemain",
      ["ContentHasNoFinalizers", "All content-preserving finalizers finished"],
    ),
  ];
}
