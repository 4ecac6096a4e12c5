import { setTimeout as sleep } from "node:timers/promises";
import type { Lease, Node } from "@tripod/api/kubernetes";
import { isTripodError, type Logger, messageOf } from "@tripod/base";
import { type KubeClient, leases } from "@tripod/kube";

const namespace = "kube-node-lease";
const durationSeconds = 40;
const renewMs = 10_000;
const retryMs = 1000;

/** Now, with the six decimals of a MicroTime. */
const microTime = (): string => new Date().toISOString().replace("Z", "000Z");

async function renewOnce(client: KubeClient, node: Node, signal: AbortSignal): Promise<void> {
  const name = node.metadata?.name ?? "";
  const resource = client.resource(leases);
  const spec = { holderIdentity: name, leaseDurationSeconds: durationSeconds, renewTime: microTime() };
  try {
    await resource.patch(name, { spec }, { namespace, signal });
  } catch (error) {
    if (!isTripodError(error, "not-found")) throw error;
    const owner = { apiVersion: "v1", kind: "Node", name, uid: node.metadata?.uid ?? "" };
    const lease: Lease = { metadata: { name, namespace, ownerReferences: [owner] }, spec };
    await resource.create(lease, { namespace, signal });
  }
}

/** Renews the node's lease every 10 s until the signal aborts: the sign of life by which others know that this node is there. */
export async function renewLease(
  client: KubeClient,
  node: Node,
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    let waitMs = renewMs;
    try {
      await renewOnce(client, node, signal);
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ error: messageOf(error) }, "the node's lease was not renewed, trying again");
      waitMs = retryMs;
    }
    await sleep(waitMs, undefined, { signal }).catch(() => undefined);
  }
}
