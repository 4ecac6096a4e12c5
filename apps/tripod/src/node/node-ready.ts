import type { Node } from "@tripod/api/kubernetes";
import { messageOf } from "@tripod/base";
import type { KubeClient } from "@tripod/kube";

/** Work that takes longer than this says what it waits for, in milliseconds. */
const quietMs = 1_000;

/**
 * Waits until the Node is Ready: undefined then; after `timeoutMs`, or when the API server cannot be asked, why it is not. `onWaiting` is told why it takes longer than a second, and
 * each other reason after that.
 */
export async function nodeReady(
  client: KubeClient,
  name: string,
  { timeoutMs, onWaiting }: { readonly timeoutMs: number; readonly onWaiting: (why: string) => void },
): Promise<string | undefined> {
  const nodes = client.resource<Node>({ group: "", version: "v1", plural: "nodes" });
  const signal = AbortSignal.timeout(timeoutMs);
  let last = "it has not registered";
  let told: string | undefined;
  const tell = (): void => {
    if (told !== last) onWaiting(last);
    told = last;
  };
  let isLong = false;
  const long = setTimeout(() => {
    isLong = true;
    tell();
  }, quietMs);
  try {
    for await (const event of nodes.watch({ fieldSelector: `metadata.name=${name}`, signal })) {
      if (event.type !== "ADDED" && event.type !== "MODIFIED") continue;
      const ready = event.object.status?.conditions?.find((condition) => condition.type === "Ready");
      if (ready?.status === "True") return undefined;
      last = ready?.message ?? "it has registered, and written no status";
      if (isLong) tell();
    }
  } catch (error) {
    if (!signal.aborted) return messageOf(error);
  } finally {
    clearTimeout(long);
  }
  return last;
}
