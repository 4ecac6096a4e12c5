import { isDeepStrictEqual } from "node:util";
import type { Namespace, Stored } from "@tripod/api/kubernetes";
import { codeOf } from "@tripod/base";
import { namespaces, WorkQueue } from "@tripod/kube";
import type { ControllerContext } from "../context.ts";
import { namespaceConditions } from "./namespace-conditions.ts";
import { deleteContent, namespacedResources } from "./namespace-content.ts";

const ownFinalizer = "kubernetes";
const firstLookMs = 250;
const longestLookMs = 5_000;

/** Empties namespaces that are being deleted and lets them go; says in conditions what they still wait for. */
export class NamespaceController implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();
  /** How often each has been looked at, so that a slow one is looked at less and less often. */
  readonly #looks = new Map<string, number>();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { world, log } = context;
    this.#queue = new WorkQueue(
      { name: "namespaces", log, firstDelayMs: 500, longestDelayMs: 30_000 },
      (name, signal) => this.#sync(name, signal),
    );
    const changed = (namespace: Stored<Namespace>, previous?: Stored<Namespace>): void => {
      const wasGoing = previous?.metadata.deletionTimestamp !== undefined;
      if (namespace.metadata.deletionTimestamp !== undefined && !wasGoing) this.#queue.add(namespace.metadata.name);
    };
    this.#stack.defer(
      world.namespaces.on({
        added: (namespace) => changed(namespace),
        updated: changed,
        deleted: (namespace) => this.#looks.delete(namespace.metadata.name),
      }),
    );
    // The end of its last Pod is what most namespaces wait for.
    this.#stack.defer(
      world.pods.on({
        deleted: (pod) => {
          const { namespace = "" } = pod.metadata;
          if (this.#looks.has(namespace)) this.#queue.add(namespace);
        },
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  async #sync(name: string, signal: AbortSignal): Promise<void> {
    const { world, client } = this.#context;
    const namespace = world.namespaces.get(name);
    if (namespace?.metadata.deletionTimestamp === undefined) return;
    if (namespace.spec?.finalizers?.includes(ownFinalizer) !== true) return;
    const looks = this.#looks.get(name) ?? 0;
    this.#looks.set(name, looks + 1);
    const discovered = await namespacedResources(client);
    const remaining = await deleteContent(client, name, discovered.resources, signal);
    const isEmpty = remaining.counts.size === 0 && remaining.failures.length === 0 && discovered.failures.length === 0;
    if (isEmpty) {
      await this.#finalize(namespace, signal);
      return;
    }
    const old = namespace.status?.conditions ?? [];
    const conditions = namespaceConditions(old, discovered.failures, remaining);
    if (!isDeepStrictEqual(old, conditions)) {
      const patch = { metadata: { uid: namespace.metadata.uid }, status: { phase: "Terminating", conditions } };
      await client.resource(namespaces).patch(name, patch, { subresource: "status", signal });
    }
    this.#queue.addAfter(name, Math.min(longestLookMs, firstLookMs * 2 ** Math.min(10, looks)));
  }

  async #finalize(namespace: Stored<Namespace>, signal: AbortSignal): Promise<void> {
    const { name } = namespace.metadata;
    try {
      const latest = await this.#context.client.resource(namespaces).get(name, { signal });
      if (latest.metadata.uid !== namespace.metadata.uid) return;
      const finalizers = (latest.spec?.finalizers ?? []).filter((each) => each !== ownFinalizer);
      await this.#context.client.request({
        method: "PUT",
        path: `/api/v1/namespaces/${encodeURIComponent(name)}/finalize`,
        body: { ...latest, apiVersion: "v1", kind: "Namespace", spec: { ...latest.spec, finalizers } },
        what: `finalize namespaces/${name}`,
        signal,
      });
    } catch (error) {
      if (codeOf(error) !== "not-found") throw error;
    }
  }
}
