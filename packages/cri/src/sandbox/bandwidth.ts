import { quantityValue } from "@tripod/api/quantity";
import { TripodError } from "@tripod/base";

/** The "bandwidth" capability of CNI: bits a second, and bits at once. A way without a limit has no keys. */
export interface Bandwidth {
  readonly ingressRate?: number;
  readonly ingressBurst?: number;
  readonly egressRate?: number;
  readonly egressBurst?: number;
}

/** What Kubernetes takes for a mistake: less than a kilobit or more than a petabit a second. */
const [least, most] = [1000n, 10n ** 15n];

/** A tenth of a second's worth, and never less than 64 KiB, so that a whole segment passes. */
const burstOf = (rate: number): number => Math.max(Math.floor(rate / 10), 64 * 1024 * 8);

function rateOf(annotations: Readonly<Record<string, string>>, way: "ingress" | "egress"): number | undefined {
  const key = `kubernetes.io/${way}-bandwidth`;
  const text = annotations[key];
  if (text === undefined) return undefined;
  const rate = quantityValue(text);
  if (rate < least || rate > most)
    throw new TripodError("invalid", `annotation ${key}: ${text} is not between 1k and 1P bits a second`);
  return Number(rate);
}

/** What a Pod's annotations ask for; undefined when they ask for nothing. Throws "invalid". */
export function bandwidthOf(annotations: Readonly<Record<string, string>>): Bandwidth | undefined {
  const [ingress, egress] = [rateOf(annotations, "ingress"), rateOf(annotations, "egress")];
  if (ingress === undefined && egress === undefined) return undefined;
  return {
    ...(ingress === undefined ? {} : { ingressRate: ingress, ingressBurst: burstOf(ingress) }),
    ...(egress === undefined ? {} : { egressRate: egress, egressBurst: burstOf(egress) }),
  };
}
