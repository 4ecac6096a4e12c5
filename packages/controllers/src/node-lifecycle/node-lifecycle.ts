import { keyOf, type Node, type Pod, type Stored, timeNow } from "@tripod/api/kubernetes";
import { codeOf } from "@tripod/base";
import { type EventRecorder, nodes, pods, WorkQueue } from "@tripod/kube";
import type { ControllerContext } from "../context.ts";
import { isFinished } from "../volumes/pod-claims.ts";
import { leaseNamespace } from "../world.ts";
import { decideEviction } from "./decide-eviction.ts";
import { decideTaints, silentNodeConditions } from "./decide-node.ts";

export interface NodeLifecycleOptions {
  /** How long a kubelet may be silent before its node counts as unreachable; 40,000 unless told. */
  readonly gracePeriodMs?: number;
  /** How often silence is looked for; 5,000 unless told. */
  readonly lookEveryMs?: number;
}

/** Notices kubelets that fall silent, keeps the taints that follow from conditions, and evicts Pods that do not stand them. */
export class NodeLifecycle implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #options: Required<NodeLifecycleOptions>;
  readonly #recorder: EventRecorder;
  readonly #nodes: WorkQueue;
  readonly #pods: WorkQueue;
  readonly #stack = new DisposableStack();
  /** When, by our own clock, a node last showed a sign of life: the clocks of nodes may differ from ours. */
  readonly #heard = new Map<string, { sign: string; atMs: number }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(context: ControllerContext, options: NodeLifecycleOptions = {}) {
    this.#context = context;
    this.#options = { gracePeriodMs: 40_000, lookEveryMs: 5_000, ...options };
    this.#recorder = context.recorder("node-controller");
    const { world, log } = context;
    this.#nodes = new WorkQueue({ name: "nodes", log, longestDelayMs: 5_000 }, (name) => this.#syncNode(name));
    this.#pods = new WorkQueue({ name: "eviction", log }, (key) => this.#syncPod(key));
    const nodeChanged = (node: Stored<Node>): void => {
      this.#nodes.add(node.metadata.name);
      if (node.spec?.taints?.some((taint) => taint.effect === "NoExecute") === true)
        for (const pod of world.pods.byIndex("node", node.metadata.name)) this.#pods.add(keyOf(pod));
    };
    this.#stack.defer(
      world.nodes.on({
        added: nodeChanged,
        updated: nodeChanged,
        deleted: (node) => this.#heard.delete(node.metadata.name),
      }),
    );
    const podChanged = (pod: Stored<Pod>): void => {
      const node = world.nodes.get(pod.spec.nodeName ?? "");
      if (node?.spec?.taints?.some((taint) => taint.effect === "NoExecute") === true) this.#pods.add(keyOf(pod));
    };
    this.#stack.defer(world.pods.on({ added: podChanged, updated: podChanged }));
    this.#timer = setInterval(() => {
      for (const node of world.nodes.list()) this.#nodes.add(node.metadata.name);
    }, this.#options.lookEveryMs);
    this.#timer.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#stack.dispose();
    await Promise.all([this.#nodes.close(), this.#pods.close()]);
  }

  #isSilent(node: Stored<Node>): boolean {
    const { name } = node.metadata;
    const lease = this.#context.world.leases.get(`${leaseNamespace}/${name}`);
    const ready = node.status?.conditions?.find((condition) => condition.type === "Ready");
    // What this controller writes itself must not count: it leaves lastHeartbeatTime alone.
    const sign = `${lease?.spec?.renewTime} ${ready?.lastHeartbeatTime}`;
    const heard = this.#heard.get(name);
    if (heard?.sign !== sign) {
      this.#heard.set(name, { sign, atMs: performance.now() });
      return false;
    }
    return performance.now() - heard.atMs > this.#options.gracePeriodMs;
  }

  async #syncNode(name: string): Promise<void> {
    const { world, client } = this.#context;
    const node = world.nodes.get(name);
    if (node === undefined) return;
    let current: Stored<Node> = node;
    const conditions = this.#isSilent(node) ? silentNodeConditions(node, timeNow()) : undefined;
    if (conditions !== undefined) {
      const patch = { metadata: { uid: node.metadata.uid }, status: { conditions } };
      current = await client.resource(nodes).patch(name, patch, { subresource: "status", type: "strategic" });
      this.#recorder.record({
        about: node,
        type: "Normal",
        reason: "NodeNotReady",
        message: `Node ${name} status is now: NodeNotReady`,
      });
      await this.#markPodsNotReady(name);
    }
    const taints = decideTaints(current, timeNow());
    if (taints === undefined) return;
    const { resourceVersion } = current.metadata;
    await client
      .resource(nodes)
      .patch(name, { metadata: { resourceVersion }, spec: { taints: taints.length > 0 ? taints : null } });
  }

  /** Nobody can say any more whether they are, so nothing should be sent to them. */
  async #markPodsNotReady(node: string): Promise<void> {
    const { world, client } = this.#context;
    for (const pod of world.pods.byIndex("node", node)) {
      const ready = pod.status?.conditions?.find((condition) => condition.type === "Ready");
      if (ready?.status !== "True" || isFinished(pod)) continue;
      const { name, namespace = "default", uid } = pod.metadata;
      const condition = { type: "Ready", status: "False", lastTransitionTime: timeNow() };
      const patch = { metadata: { uid }, status: { conditions: [condition] } };
      await ignoreGone(
        client.resource(pods).patch(name, patch, { namespace, subresource: "status", type: "strategic" }),
      );
      this.#recorder.record({ about: pod, type: "Warning", reason: "NodeNotReady", message: "Node is not ready" });
    }
  }

  async #syncPod(key: string): Promise<void> {
    const { world, client } = this.#context;
    const pod = world.pods.get(key);
    const node = world.nodes.get(pod?.spec.nodeName ?? "");
    if (pod === undefined || node === undefined) return;
    const nowMs = Date.now();
    const decision = decideEviction(pod, node, nowMs);
    if (decision.kind === "evict-at") this.#pods.addAfter(key, Math.min(decision.atMs - nowMs, 60_000));
    if (decision.kind !== "evict-now") return;
    this.#recorder.record({
      about: pod,
      type: "Normal",
      reason: "TaintManagerEviction",
      message: `Marking for deletion Pod ${key}`,
    });
    const { name, namespace = "default", uid } = pod.metadata;
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "DeletionByTaintManager",
      message: `Taint manager: deleting due to NoExecute taint ${decision.taint}`,
      lastTransitionTime: timeNow(),
    };
    const patch = { metadata: { uid }, status: { conditions: [condition] } };
    await ignoreGone(client.resource(pods).patch(name, patch, { namespace, subresource: "status", type: "strategic" }));
    await ignoreGone(client.resource(pods).delete(name, { namespace, uid }));
  }
}

async function ignoreGone(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (codeOf(error) !== "not-found" && codeOf(error) !== "conflict") throw error;
  }
}
