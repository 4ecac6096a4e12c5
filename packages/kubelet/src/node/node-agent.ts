import { type FSWatcher, watch } from "node:fs";
import { mkdir } from "node:fs/promises";
import type { ContainerImage, Node, NodeStatus } from "@tripod/api/kubernetes";
import { isTripodError, type Logger, messageOf, TaskOwner } from "@tripod/base";
import { abortableDelay, type KubeClient, nodes } from "@tripod/kube";
import type { CriClient } from "../cri/cri-client.ts";
import { Wake } from "../pods/wake.ts";
import { nodeConditions, type RuntimeHealth } from "./node-conditions.ts";
import { nodeImages } from "./node-images.ts";
import { renewLease } from "./node-lease.ts";
import { type NodeFacts, nodeLabels, nodeObject, nodeStatus } from "./node-object.ts";
import { readPressure } from "./pressure.ts";
import { type RuntimeAbilities, runtimeAbilities } from "./runtime-abilities.ts";

/** How often the runtime is asked how it is: soon while the node is not ready, seldom when it is. */
const unreadyLookMs = 1000;
const readyLookMs = 10_000;
/** After a change in the CNI folder: the runtime reads it too, in its own time. */
const changedLookMs = 250;
const changedForMs = 3000;
/** Without any change the status is written this often. */
const heartbeatMs = 300_000;

export interface NodeAgentOptions {
  readonly client: KubeClient;
  readonly cri: CriClient;
  readonly kubeletDir: string;
  /** Watched: a change in it may make the network ready or not. */
  readonly cniConfDir: string;
  readonly facts: NodeFacts;
  readonly labels: Readonly<Record<string, string>>;
  readonly volumesInUse: () => readonly string[];
  readonly log: Logger;
}

/** The status without its times, as text: what makes a write worth it. */
const materialOf = (status: NodeStatus): string =>
  JSON.stringify({
    ...status,
    conditions: (status.conditions ?? []).map(({ type, status: value, reason, message }) => [
      type,
      value,
      reason,
      message,
    ]),
  });

/** Registers this machine as a Node and keeps its status and lease up to date. */
export class NodeAgent implements AsyncDisposable {
  readonly #options: NodeAgentOptions;
  readonly #tasks: TaskOwner;
  readonly #wake = new Wake();
  #watcher: FSWatcher | undefined;
  #written = "";
  #writtenAtMs = 0;
  #changedAtMs = 0;
  #last: NodeStatus | undefined;
  #facts: NodeFacts;
  /** What the runtime said last, which a silent one still has. */
  #abilities: RuntimeAbilities = {};
  #waiters: (() => void)[] = [];

  constructor(options: NodeAgentOptions) {
    this.#options = options;
    this.#facts = options.facts;
    this.#tasks = new TaskOwner("node", options.log);
  }

  /** Registers the node and starts to keep it up to date. Resolves when the Node exists. */
  async start(): Promise<Node> {
    const node = await this.#register(this.#tasks.signal);
    const { client, log, cniConfDir } = this.#options;
    this.#last = node.status;
    await mkdir(cniConfDir, { recursive: true });
    this.#watcher = watch(cniConfDir, () => {
      this.#changedAtMs = Date.now();
      this.wake();
    });
    this.#watcher.on("error", (error) =>
      log.warn({ error: messageOf(error) }, "the CNI folder is not watched any more"),
    );
    this.#tasks.run("lease", (signal) => renewLease(client, node, { log, signal }));
    this.#tasks.run("status", (signal) => this.#keepStatus(signal));
    return node;
  }

  /** The runtime's name, "cri" until it has said it. */
  get runtimeName(): string {
    return this.#facts.runtimeVersion.split("://")[0] || "cri";
  }

  /** Asks for a look at the runtime now. */
  wake(): void {
    this.#wake.call();
  }

  /** Writes the volumes in use at once; resolves when the API server has them. */
  async publishInUse(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiters.push(resolve);
      this.wake();
      this.#tasks.signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  async #register(signal: AbortSignal): Promise<Node> {
    const { client, labels, log } = this.#options;
    const resource = client.resource(nodes);
    for (;;) {
      try {
        const wanted = nodeObject(this.#facts, labels);
        try {
          return await resource.create(wanted, { signal });
        } catch (error) {
          if (!isTripodError(error, "already-exists")) throw error;
        }
        const name = this.#facts.nodeName;
        const found = await resource.get(name, { signal });
        const patch = {
          metadata: { labels: { ...nodeLabels(this.#facts), ...labels } },
          // A range given by somebody else stays: addresses are in use already.
          ...(found.spec?.podCIDR === undefined && wanted.spec?.podCIDR !== undefined ? { spec: wanted.spec } : {}),
        };
        return await resource.patch(name, patch, { type: "strategic", signal });
      } catch (error) {
        if (signal.aborted || isTripodError(error, "permission-denied", "unauthenticated", "invalid")) throw error;
        log.warn({ error: messageOf(error) }, "the node cannot be registered yet, trying again");
        await abortableDelay(500, signal);
      }
    }
  }

  async #keepStatus(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let ready = false;
      try {
        ready = await this.#writeStatus(signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#options.log.warn({ error: messageOf(error) }, "the node's status was not written, trying again");
        if (isTripodError(error, "not-found")) {
          this.#written = "";
          await this.#register(signal);
          continue;
        }
      }
      const changed = Date.now() - this.#changedAtMs < changedForMs;
      await this.#wake.wait(changed ? changedLookMs : ready ? readyLookMs : unreadyLookMs, signal);
    }
  }

  async #runtimeHealth(signal: AbortSignal): Promise<RuntimeHealth> {
    const { cri } = this.#options;
    try {
      const reply = await cri.runtime.status({}, { signal, timeoutMs: 10_000 });
      this.#abilities = runtimeAbilities(reply);
      if (this.#facts.runtimeVersion === "") {
        const { runtimeName, runtimeVersion } = await cri.runtime.version(
          { version: "v1" },
          { signal, timeoutMs: 10_000 },
        );
        this.#facts = { ...this.#facts, runtimeVersion: `${runtimeName}://${runtimeVersion}` };
      }
      return { kind: "answered", conditions: reply.status?.conditions ?? [] };
    } catch (error) {
      return { kind: "silent", message: messageOf(error) };
    }
  }

  /** Looks at everything once and writes what changed; returns whether the node is ready. */
  async #writeStatus(signal: AbortSignal): Promise<boolean> {
    const { client, cri, kubeletDir, volumesInUse } = this.#options;
    const waiters = this.#waiters.splice(0);
    try {
      const runtime = await this.#runtimeHealth(signal);
      const images: ContainerImage[] = runtime.kind === "answered" ? await nodeImages(cri) : (this.#last?.images ?? []);
      const before = this.#last?.conditions ?? [];
      const pressure = await readPressure(kubeletDir);
      const conditions = nodeConditions({ runtime, pressure, before, nowMs: Date.now() });
      const abilities = this.#abilities;
      const status = nodeStatus({ facts: this.#facts, conditions, images, volumesInUse: volumesInUse(), abilities });
      const material = materialOf(status);
      if (material !== this.#written || Date.now() - this.#writtenAtMs > heartbeatMs) {
        const options = { type: "strategic", subresource: "status", signal } as const;
        // Several addresses of one type have the same merge key, so the list is replaced as a whole.
        const addresses = [...(status.addresses ?? []), { $patch: "replace" }];
        await client.resource(nodes).patch(this.#facts.nodeName, { status: { ...status, addresses } }, options);
        this.#last = status;
        this.#written = material;
        this.#writtenAtMs = Date.now();
      }
      for (const resolve of waiters) resolve();
      return conditions.find(({ type }) => type === "Ready")?.status === "True";
    } catch (error) {
      this.#waiters.unshift(...waiters);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watcher?.close();
    await this.#tasks.stop();
  }
}
