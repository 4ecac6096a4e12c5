import { keyOf, type Pod, type Stored, timeNow } from "@tripod/api/kubernetes";
import { codeOf } from "@tripod/base";
import { nodes, pods, WorkQueue } from "@tripod/kube";
import type { ControllerContext } from "../context.ts";
import { isOutOfService } from "../node-lifecycle/node-state.ts";
import { decidePodGc, needsFailing } from "./decide-pod-gc.ts";

/** A node that is missing may be about to register again, so its Pods are given this long. */
const quarantineMs = 40_000;

export interface PodGcOptions {
  /** 40,000 unless told. */
  readonly quarantineMs?: number;
}

/** Removes Pods that have nobody to look after them: their node is gone, or they were deleted before they had one. */
export class PodGc implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();
  readonly #quarantineMs: number;
  /** Since when a node has been missing, by our clock. */
  readonly #missing = new Map<string, number>();

  constructor(context: ControllerContext, options: PodGcOptions = {}) {
    this.#context = context;
    this.#quarantineMs = options.quarantineMs ?? quarantineMs;
    this.#queue = new WorkQueue({ name: "pod garbage collection", log: context.log }, (key) => this.#sync(key));
    const { world } = context;
    const look = (pod: Stored<Pod>): void => {
      const node = world.nodes.get(pod.spec.nodeName ?? "");
      if (decidePodGc(pod, node).kind !== "keep") this.#queue.add(keyOf(pod));
    };
    this.#stack.defer(world.pods.on({ added: look, updated: look }));
    this.#stack.defer(
      world.nodes.on({
        added: (node) => this.#missing.delete(node.metadata.name),
        updated: (node) => {
          if (isOutOfService(node)) for (const pod of world.pods.byIndex("node", node.metadata.name)) look(pod);
        },
        deleted: (node) => {
          for (const pod of world.pods.byIndex("node", node.metadata.name)) this.#queue.add(keyOf(pod));
        },
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  async #sync(key: string): Promise<void> {
    const { world, client } = this.#context;
    const pod = world.pods.get(key);
    if (pod === undefined) return;
    const node = pod.spec.nodeName;
    const decision = decidePodGc(pod, world.nodes.get(node ?? ""));
    if (decision.kind === "keep") return;
    const { name, namespace = "default", uid } = pod.metadata;
    const resource = client.resource(pods);
    if (decision.kind === "orphaned" && node !== undefined) {
      const since = this.#missing.get(node) ?? performance.now();
      this.#missing.set(node, since);
      const restMs = since + this.#quarantineMs - performance.now();
      if (restMs > 0) {
        this.#queue.addAfter(key, restMs);
        return;
      }
      if ((await client.resource(nodes).find(node)) !== undefined) return;
    }
    if (decision.kind !== "never-started" && needsFailing(pod)) {
      const condition = {
        type: "DisruptionTarget",
        status: "True",
        reason: "DeletionByPodGC",
        message: decision.message,
        lastTransitionTime: timeNow(),
      };
      const patch = { metadata: { uid }, status: { phase: "Failed", conditions: [condition] } };
      await ignoreGone(resource.patch(name, patch, { namespace, subresource: "status", type: "strategic" }));
    }
    await ignoreGone(resource.delete(name, { namespace, uid, gracePeriodSeconds: 0 }));
  }
}

async function ignoreGone(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (codeOf(error) !== "not-found" && codeOf(error) !== "conflict") throw error;
  }
}
