import type { Pod } from "@tripod/api/kubernetes";
import { type Logger, TaskOwner } from "@tripod/base";
import { Informer, type KubeClient, pods as podsRef } from "@tripod/kube";
import { podNameLabel, podNamespaceLabel, podUidLabel } from "../cri/pod-labels.ts";
import { entriesOf } from "../volumes/folder-entries.ts";
import type { PodContext } from "./pod-context.ts";
import { nameOf, namespaceOf, uidOf } from "./pod-facts.ts";
import { identityOfLogFolder, type PodIdentity } from "./pod-log-folder.ts";
import { PodWorker } from "./pod-worker.ts";

/** The Pods of this node: a worker for each that the API server or the node itself still has something of. */
export class PodManager implements AsyncDisposable {
  readonly #context: PodContext;
  readonly #log: Logger;
  readonly #informer: Informer<Pod>;
  readonly #workers = new Map<string, PodWorker>();
  readonly #tasks: TaskOwner;

  constructor(client: KubeClient, context: PodContext) {
    this.#context = context;
    this.#log = context.log;
    this.#tasks = new TaskOwner("pod workers", context.log);
    this.#informer = new Informer(client.resource(podsRef), {
      log: context.log,
      fieldSelector: `spec.nodeName=${context.nodeName}`,
    });
  }

  /** Follows the API server's Pods and, once they are known, cleans up what belongs to none of them. */
  start(): void {
    this.#informer.on({
      added: (pod) => this.#take(pod),
      updated: (pod) => this.#take(pod),
      deleted: (pod) => this.#workers.get(uidOf(pod))?.deleted(),
    });
    this.#informer.start();
    this.#lookForOrphans();
  }

  /** Asks the worker of a Pod to look at it. */
  wake(uid: string): void {
    this.#workers.get(uid)?.wake();
  }

  wakeAll(): void {
    for (const worker of this.#workers.values()) worker.wake();
  }

  /** The Pods that the API server has for this node. */
  pods(): Pod[] {
    return this.#informer.list();
  }

  /** One of them by namespace and name. */
  find(namespace: string, name: string): Pod | undefined {
    return this.#informer.get(`${namespace}/${name}`);
  }

  /** Resolves when the API server's Pods are known. */
  get synced(): Promise<void> {
    return this.#informer.synced;
  }

  #take(pod: Pod): void {
    const known = this.#workers.get(uidOf(pod));
    if (known !== undefined) known.update(pod);
    else this.#open({ uid: uidOf(pod), namespace: namespaceOf(pod), name: nameOf(pod) }, pod);
  }

  #open(identity: PodIdentity, pod: Pod | undefined): void {
    const worker = new PodWorker(identity, pod, this.#context);
    this.#workers.set(identity.uid, worker);
    this.#tasks.run(`pod ${identity.namespace}/${identity.name}`, async (signal) => {
      try {
        await worker.run(signal);
      } finally {
        this.#workers.delete(identity.uid);
        // A runtime that an earlier daemon left at work may have made a cgroup after the Pod's was removed.
        this.#lookForOrphans();
      }
    });
  }

  #lookForOrphans(): void {
    this.#tasks.run("find orphans", async () => {
      await this.#informer.synced;
      await this.#adoptOrphans();
    });
  }

  /** Gives a worker to every Pod of which the runtime or the disk has remains and the API server knows nothing. */
  async #adoptOrphans(): Promise<void> {
    const { cri, volumes, layout, cgroups } = this.#context;
    const orphans = new Map<string, PodIdentity>();
    const note = (identity: PodIdentity): void => {
      if (identity.uid !== "" && !this.#workers.has(identity.uid)) orphans.set(identity.uid, identity);
    };
    const dropKnown = (): void => {
      for (const pod of this.#informer.list()) orphans.delete(uidOf(pod));
      for (const uid of this.#workers.keys()) orphans.delete(uid);
    };
    for (const uid of [...(await volumes.podsOnDisk()), ...(await cgroups()).uids()]) {
      note({ uid, namespace: "", name: "" });
    }
    for (const folder of await entriesOf(layout.podLogsDir)) {
      const identity = identityOfLogFolder(folder);
      if (identity === undefined) continue;
      note(identity);
    }
    const { items } = await cri.runtime.listPodSandbox({});
    for (const { labels } of items) {
      const { [podUidLabel]: uid, [podNamespaceLabel]: namespace, [podNameLabel]: name } = labels;
      if (uid !== undefined && namespace !== undefined && name !== undefined) note({ uid, namespace, name });
    }
    dropKnown();
    for (const identity of orphans.values()) {
      this.#log.info({ ...identity }, "cleaning up what is left of a pod that the API server does not have");
      this.#open(identity, undefined);
    }
  }

  /** Stops looking after Pods; their containers go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#informer.close();
    await this.#tasks.stop();
  }
}
