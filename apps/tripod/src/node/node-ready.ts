import type { Node } from "@tripod/api/kubernetes";
import type { KubeClient } from "@tripod/kube";

/** Waits until the Node is Ready: undefined then; after `timeoutMs`, why it is not. */
export async function nodeReady(client: KubeClient, name: string, timeoutMs: number): Promise<string | undefined> {
  const nodes = client.resource<Node>({ group: "", version: "v1", plural: "nodes" });
  const signal = AbortSignal.timeout(timeoutMs);
  let last = "it has not registered";
  try {
    for await (const event of nodes.watch({ fieldSelector: `metadata.name=${name}`, signal })) {
      if (event.type !== "ADDED" && event.type !== "MODIFIED") continue;
      const ready = event.object.status?.conditions?.find((condition) => condition.type === "Ready");
      if (ready?.status === "True") return undefined;
      last = ready?.message ?? last;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return last;
}
