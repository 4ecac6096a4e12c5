import {
  type Binding,
  keyOf,
  type Node,
  type Pod,
  type PodCondition,
  type Stored,
  timeNow,
} from "@tripod/api/kubernetes";
import { codeOf, failpoint, messageOf } from "@tripod/base";
import { bindings, type EventRecorder, persistentVolumeClaims, persistentVolumes, pods, WorkQueue } from "@tripod/kube";
import { withSpan } from "@tripod/trace";
import { isDeepStrictEqual } from "node:util";
import type { ControllerContext } from "../context.ts";
import { unlessInvalid } from "../unless-invalid.ts";
import { annotations } from "../volumes/annotations.ts";
import { isFinished } from "../volumes/pod-claims.ts";
import { claimReference } from "../volumes/volume-state.ts";
import { decide, type NodeState } from "./decide.ts";
import type { VolumeFacts, VolumePlan } from "./volume-fit.ts";

/** Pods that ask for another scheduler are left alone. */
const schedulerName = "default-scheduler";

const isPending = (pod: Pod): boolean =>
  pod.spec.nodeName === undefined &&
  pod.metadata.deletionTimestamp === undefined &&
  !isFinished(pod) &&
  (pod.spec.schedulerName ?? schedulerName) === schedulerName &&
  (pod.spec.schedulingGates ?? []).length === 0;

/** What of a node decides where Pods go; heartbeats change other things. */
const schedulingFacts = (node: Node): unknown => [
  node.metadata.labels,
  node.metadata.deletionTimestamp,
  node.spec?.taints,
  node.spec?.unschedulable,
  node.status?.allocatable,
];

/** Gives every Pod without a node one, one Pod after another. */
export class Scheduler implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #recorder: EventRecorder;
  readonly #queue: WorkQueue;
  readonly #pending = new Set<string>();
  /** Pods bound by us whose cached state does not say so yet, by uid. */
  readonly #assumed = new Map<string, { pod: Stored<Pod>; node: string }>();
  readonly #stack = new DisposableStack();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder(schedulerName);
    // One at a time: a decision counts on the one before it.
    this.#queue = new WorkQueue(
      { name: "scheduler", log: context.log, concurrency: 1, longestDelayMs: 10_000 },
      (key) => this.#schedule(key),
    );
    const { world } = context;
    const retry = (): void => this.#retryPending();
    this.#stack.defer(
      world.pods.on({
        added: (pod) => this.#podChanged(pod),
        updated: (pod, previous) => {
          this.#podChanged(pod);
          if (pod.spec.nodeName !== undefined && isFinished(pod) && !isFinished(previous)) retry();
        },
        deleted: (pod) => {
          this.#pending.delete(keyOf(pod));
          this.#assumed.delete(pod.metadata.uid);
          if (pod.spec.nodeName !== undefined) retry();
        },
      }),
    );
    this.#stack.defer(
      world.nodes.on({
        added: retry,
        updated: (node, previous) => {
          if (!isDeepStrictEqual(schedulingFacts(node), schedulingFacts(previous))) retry();
        },
      }),
    );
    for (const informer of [
      world.claims,
      world.volumes,
      world.classes,
      world.csiNodes,
      world.drivers,
      world.capacities,
    ])
      this.#stack.defer(informer.on({ added: retry, updated: retry, deleted: retry }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  #podChanged(pod: Stored<Pod>): void {
    const key = keyOf(pod);
    if (pod.spec.nodeName !== undefined) this.#assumed.delete(pod.metadata.uid);
    if (isPending(pod) && !this.#assumed.has(pod.metadata.uid)) {
      const isNew = !this.#pending.has(key);
      this.#pending.add(key);
      // A pending Pod's own change of status, which this scheduler writes, is no reason to look again.
      if (isNew) this.#queue.add(key);
    } else this.#pending.delete(key);
  }

  #retryPending(): void {
    for (const key of this.#pending) this.#queue.add(key);
  }

  #nodeStates(): NodeState[] {
    const { world } = this.#context;
    return world.nodes.list().map((node): NodeState => {
      const { name } = node.metadata;
      const here = world.pods.byIndex("node", name).filter((pod) => !isFinished(pod));
      const assumed = [...this.#assumed.values()].filter((each) => each.node === name).map((each) => each.pod);
      return { node, pods: [...here, ...assumed] };
    });
  }

  #volumeFacts(): VolumeFacts {
    const { world, serving, pool } = this.#context;
    return {
      claim: (key) => world.claims.get(key),
      volume: (name) => world.volumes.get(name),
      class: (name) => {
        const found = world.classes.get(name);
        // One that cannot be translated keeps its own words: the provisioner says what is wrong with it.
        return found === undefined ? undefined : (unlessInvalid(() => serving.classOf(found)) ?? found);
      },
      csiNode: (name) => world.csiNodes.get(name),
      driver: (name) => world.drivers.get(name),
      capacities: (name) => world.capacities.byIndex("class", name),
      pool,
      podsUsing: (key) => world.pods.byIndex("claim", key).filter((pod) => !isFinished(pod)),
    };
  }

  async #schedule(key: string): Promise<void> {
    const pod = this.#context.world.pods.get(key);
    if (pod === undefined || !isPending(pod) || this.#assumed.has(pod.metadata.uid)) {
      this.#pending.delete(key);
      return;
    }
    const decision = decide(pod, this.#nodeStates(), this.#volumeFacts());
    switch (decision.kind) {
      case "unschedulable":
        await this.#reportUnschedulable(pod, decision.message);
        return;
      case "bind-volumes":
        await this.#bindVolumes(decision.plan, decision.node);
        return;
      case "bind":
        await this.#bind(pod, decision.node);
    }
  }

  async #bind(pod: Stored<Pod>, node: string): Promise<void> {
    const { name, namespace = "default", uid } = pod.metadata;
    const attributes = { "pod.namespace": namespace, "pod.name": name, "pod.uid": uid, "node.name": node };
    await withSpan("scheduler.bind", attributes, async () => {
      const binding: Binding = {
        apiVersion: "v1",
        kind: "Binding",
        metadata: { name, namespace, uid },
        target: { apiVersion: "v1", kind: "Node", name: node },
      };
      this.#assumed.set(uid, { pod, node });
      try {
        await this.#context.client
          .resource(pods)
          .createSubresource<typeof bindings.object>(name, "binding", binding, { namespace });
      } catch (error) {
        this.#assumed.delete(uid);
        // Gone, or bound by somebody else: the cache will say so.
        if (codeOf(error) === "not-found" || codeOf(error) === "conflict") {
          this.#context.log.info({ pod: name, node, error: messageOf(error) }, "pod was not bound");
          this.#pending.delete(keyOf(pod));
          return;
        }
        throw error;
      }
      // The cache may have learned of it before this line.
      const known = this.#context.world.pods.get(keyOf(pod));
      if (known === undefined || known.spec.nodeName !== undefined) this.#assumed.delete(uid);
      this.#pending.delete(keyOf(pod));
      this.#recorder.record({
        about: pod,
        type: "Normal",
        reason: "Scheduled",
        message: `Successfully assigned ${namespace}/${name} to ${node}`,
      });
    });
  }

  /** Reserves volumes that are there and asks for those that are not; the Pod is looked at again when the claims are bound. */
  async #bindVolumes(plan: VolumePlan, node: string): Promise<void> {
    const { client } = this.#context;
    for (const { claim, volume } of plan.bind) {
      if (volume.spec.claimRef?.uid === claim.metadata.uid) continue;
      const changed = structuredClone(volume);
      changed.spec.claimRef = claimReference(claim);
      changed.metadata.annotations = { ...changed.metadata.annotations, [annotations.boundByController]: "yes" };
      await client.resource(persistentVolumes).update(changed);
      failpoint("controllers.scheduler.volume-reserved");
    }
    for (const claim of plan.provision) {
      if (claim.metadata.annotations?.[annotations.selectedNode] === node) continue;
      const { name, namespace = "default", resourceVersion } = claim.metadata;
      const patch = { metadata: { resourceVersion, annotations: { [annotations.selectedNode]: node } } };
      await client.resource(persistentVolumeClaims).patch(name, patch, { namespace });
      failpoint("controllers.scheduler.node-selected");
    }
  }

  async #reportUnschedulable(pod: Stored<Pod>, message: string): Promise<void> {
    const old = pod.status?.conditions?.find((condition) => condition.type === "PodScheduled");
    if (old?.status === "False" && old.reason === "Unschedulable" && old.message === message) return;
    this.#recorder.record({ about: pod, type: "Warning", reason: "FailedScheduling", message });
    const condition: PodCondition = {
      type: "PodScheduled",
      status: "False",
      reason: "Unschedulable",
      message,
      lastTransitionTime: old?.status === "False" ? (old.lastTransitionTime ?? timeNow()) : timeNow(),
    };
    const { name, namespace = "default", uid } = pod.metadata;
    const patch = { metadata: { uid }, status: { conditions: [condition] } };
    try {
      await this.#context.client
        .resource(pods)
        .patch(name, patch, { namespace, type: "strategic", subresource: "status" });
    } catch (error) {
      if (codeOf(error) !== "not-found" && codeOf(error) !== "conflict") throw error;
    }
  }
}
