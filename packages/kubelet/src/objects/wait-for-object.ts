import type { KubernetesObject, Stored } from "@tripod/api/kubernetes";
import { Backoff, isTripodError, TripodError } from "@tripod/base";
import { abortableDelay, type ResourceClient, waitFor } from "@tripod/kube";

/**
 * As waitFor(); where a node may only read single objects, as upstream's node authorizer has it, by reading again with growing pauses. Such
 * an authorizer also forbids what does not exist yet.
 */
export async function waitForObject<T extends KubernetesObject>(
  resource: ResourceClient<T>,
  name: string,
  condition: (object: Stored<T> | undefined) => boolean,
  { signal, timeoutMs }: { readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<Stored<T> | undefined> {
  try {
    return await waitFor(resource, name, condition, { signal, timeoutMs });
  } catch (error) {
    if (!isTripodError(error, "permission-denied")) throw error;
  }
  const timeout = AbortSignal.timeout(timeoutMs);
  const either = AbortSignal.any([signal, timeout]);
  const backoff = new Backoff({ initialMs: 500, maxMs: 10_000 });
  while (!either.aborted) {
    const found = await resource.find(name, { signal }).catch((error: unknown) => {
      if (isTripodError(error, "permission-denied")) return undefined;
      throw error;
    });
    if (condition(found)) return found;
    await abortableDelay(backoff.next(), either).catch(() => undefined);
  }
  signal.throwIfAborted();
  throw new TripodError(
    "timeout",
    `wait for ${resource.ref.plural}/${name}: not as expected after ${timeoutMs / 1000} s`,
  );
}
