import type { KubernetesObject, Stored } from "@tripod/api/kubernetes";
import { codeOf, TripodError } from "@tripod/base";
import { abortableDelay } from "./connection.ts";
import type { ResourceClient } from "./resource-client.ts";

export interface WaitOptions {
  readonly namespace?: string;
  readonly signal?: AbortSignal;
  /** 60,000 unless told; then a "timeout" error. */
  readonly timeoutMs?: number;
}

/**
 * Waits until `condition` holds for the object of that name, undefined while there is none, and returns that state. Follows the API
 * server by a watch, through broken connections.
 */
export async function waitFor<T extends KubernetesObject>(
  resource: ResourceClient<T>,
  name: string,
  condition: (object: Stored<T> | undefined) => boolean,
  options: WaitOptions = {},
): Promise<Stored<T> | undefined> {
  const { namespace, timeoutMs = 60_000 } = options;
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  const where = namespace === undefined ? {} : { namespace };
  const fieldSelector = `metadata.name=${name}`;
  while (!signal.aborted) {
    try {
      const listed = await resource.list({ ...where, fieldSelector, signal });
      const [now] = listed.items;
      if (condition(now)) return now;
      const events = resource.watch({ ...where, fieldSelector, resourceVersion: listed.resourceVersion, signal });
      for await (const { type, object } of events) {
        if (type === "BOOKMARK") continue;
        const state = type === "DELETED" ? undefined : object;
        if (condition(state)) return state;
      }
    } catch (error) {
      const code = codeOf(error);
      if (!signal.aborted && code !== "unavailable" && code !== "out-of-range" && code !== "timeout") throw error;
    }
    await abortableDelay(100, signal).catch(() => {});
  }
  const what = `wait for ${resource.ref.plural}/${name}${namespace === undefined ? "" : ` in ${namespace}`}`;
  if (options.signal?.aborted) throw new TripodError("cancelled", `${what}: cancelled`);
  throw new TripodError("timeout", `${what}: not as expected after ${timeoutMs / 1000} s`);
}
