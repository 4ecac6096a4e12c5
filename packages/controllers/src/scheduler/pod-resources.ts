import { type Container, parseQuantity, type Pod, type Quantity } from "@tripod/api/kubernetes";

/** Amounts by resource name, in billionths of a unit. */
export type Amounts = ReadonlyMap<string, bigint>;

type Resources = Readonly<Record<string, Quantity>> | undefined;

/** Reads a resource list; what is no quantity counts as nothing (the API server refuses it). */
export function amountsOf(resources: Resources): Map<string, bigint> {
  const amounts = new Map<string, bigint>();
  for (const [name, quantity] of Object.entries(resources ?? {})) amounts.set(name, parseQuantity(quantity).nano);
  return amounts;
}

function addTo(sum: Map<string, bigint>, more: Amounts): void {
  for (const [name, amount] of more) sum.set(name, (sum.get(name) ?? 0n) + amount);
}

function raiseTo(most: Map<string, bigint>, other: Amounts): void {
  for (const [name, amount] of other) if (amount > (most.get(name) ?? 0n)) most.set(name, amount);
}

const requestsOf = (container: Container): Map<string, bigint> =>
  // A limit without a request is the request too.
  amountsOf({ ...container.resources?.limits, ...container.resources?.requests });

/**
 * What a Pod needs at once: the greater of all its containers together and of any one init container with the sidecars that started
 * before it, plus the runtime's overhead.
 */
export function podRequests(pod: Pod): Map<string, bigint> {
  const running = new Map<string, bigint>();
  const sidecars = new Map<string, bigint>();
  const starting = new Map<string, bigint>();
  for (const container of pod.spec.initContainers ?? []) {
    const needed = requestsOf(container);
    if (container.restartPolicy === "Always") {
      addTo(sidecars, needed);
      raiseTo(starting, sidecars);
    } else {
      const together = new Map(sidecars);
      addTo(together, needed);
      raiseTo(starting, together);
    }
  }
  for (const container of pod.spec.containers) addTo(running, requestsOf(container));
  addTo(running, sidecars);
  raiseTo(running, starting);
  // Requests of the Pod as a whole stand in place of its containers'.
  for (const [name, amount] of amountsOf(pod.spec.resources?.requests)) running.set(name, amount);
  addTo(running, amountsOf(pod.spec.overhead));
  return running;
}

/** What several Pods need together, with a "pods" entry that counts them. */
export function totalRequests(pods: readonly Pod[]): Map<string, bigint> {
  const sum = new Map<string, bigint>();
  for (const pod of pods) addTo(sum, podRequests(pod));
  sum.set("pods", BigInt(pods.length) * 1_000_000_000n);
  return sum;
}
