import { compareQuantities, type Pod } from "@tripod/api/kubernetes";

const counted = ["cpu", "memory"] as const;

/** Whether a quantity is there and not zero. */
const isGiven = (quantity: string | undefined): quantity is string =>
  quantity !== undefined && compareQuantities(quantity, "0") !== 0;

/** The quality-of-service class that follows from what all containers request and are limited to. */
export function qosClass({ spec }: Pod): "Guaranteed" | "Burstable" | "BestEffort" {
  const all = [...spec.containers, ...(spec.initContainers ?? [])].map(({ resources }) => resources ?? {});
  const asksForAny = all.some(({ requests, limits }) =>
    counted.some((name) => isGiven(requests?.[name]) || isGiven(limits?.[name])),
  );
  if (!asksForAny) return "BestEffort";
  const isGuaranteed = all.every(({ requests, limits }) =>
    counted.every((name) => {
      const limit = limits?.[name];
      return isGiven(limit) && compareQuantities(requests?.[name] ?? limit, limit) === 0;
    }),
  );
  return isGuaranteed ? "Guaranteed" : "Burstable";
}
