import { NodeServiceCapability_RPC_Type } from "@tripod/api/csi";
import { TripodError } from "@tripod/base";
import { connectDriver, type CsiDriverClient } from "@tripod/csi";

/** A CSI driver that has registered with this kubelet. */
export interface RegisteredDriver {
  readonly name: string;
  /** Its unix socket. */
  readonly endpoint: string;
  readonly node: CsiDriverClient["node"];
  /** What its Node service can do: asked once for each time that it registers, and again after a failure. */
  readonly capabilities: (signal: AbortSignal) => Promise<NodeCapabilities>;
}

/** The CSI drivers that are registered now, by name. */
export class CsiDrivers implements Disposable {
  readonly #drivers = new Map<string, RegisteredDriver & { readonly client: CsiDriverClient }>();
  readonly #onChange = new Set<() => void>();
  readonly #settledAtMs: number;

  /** For the first `settleMs` milliseconds drivers may still be on their way: after a restart they register one by one. */
  constructor({ settleMs = 0 }: { readonly settleMs?: number } = {}) {
    this.#settledAtMs = performance.now() + settleMs;
  }

  register(name: string, endpoint: string): RegisteredDriver {
    const known = this.#drivers.get(name);
    const same = known?.endpoint === endpoint ? known.client : undefined;
    if (same === undefined) known?.client[Symbol.dispose]();
    const client = same ?? connectDriver(endpoint);
    // Another program may answer there by now.
    const driver = { name, endpoint, node: client.node, client, capabilities: askOnce(client) };
    this.#drivers.set(name, driver);
    for (const listener of this.#onChange) listener();
    return driver;
  }

  unregister(name: string): void {
    const known = this.#drivers.get(name);
    if (known === undefined) return;
    this.#drivers.delete(name);
    known.client[Symbol.dispose]();
  }

  /** The driver, or a "failed-precondition" error that says how drivers come to be here. */
  get(name: string): RegisteredDriver {
    const found = this.#drivers.get(name);
    if (found !== undefined) return found;
    throw new TripodError(
      "failed-precondition",
      `driver name ${name} not found in the list of registered CSI drivers; start the driver on this node`,
    );
  }

  /** As get(), but while drivers may be on their way this one is waited for. */
  async registered(name: string, signal: AbortSignal): Promise<RegisteredDriver> {
    const restMs = this.#settledAtMs - performance.now();
    if (this.has(name) || restMs <= 0) return this.get(name);
    signal.throwIfAborted();
    const { promise, resolve } = Promise.withResolvers<void>();
    using waiting = new DisposableStack();
    const look = (): void => {
      if (this.has(name)) resolve();
    };
    waiting.defer(this.onRegistered(look));
    waiting.adopt(setTimeout(resolve, restMs), clearTimeout);
    const abort = (): void => resolve();
    signal.addEventListener("abort", abort, { once: true });
    waiting.defer(() => signal.removeEventListener("abort", abort));
    await promise;
    signal.throwIfAborted();
    return this.get(name);
  }

  list(): RegisteredDriver[] {
    return [...this.#drivers.values()];
  }

  has(name: string): boolean {
    return this.#drivers.has(name);
  }

  /** Calls `listener` whenever a driver registers, until the returned function is called. */
  onRegistered(listener: () => void): () => void {
    this.#onChange.add(listener);
    return () => {
      this.#onChange.delete(listener);
    };
  }

  [Symbol.dispose](): void {
    for (const { client } of this.#drivers.values()) client[Symbol.dispose]();
    this.#drivers.clear();
  }
}

/** What a driver's Node service can do. */
export interface NodeCapabilities {
  readonly stage: boolean;
  readonly expand: boolean;
  readonly stats: boolean;
  readonly health: boolean;
  readonly storageHealth: boolean;
  readonly volumeMountGroup: boolean;
  readonly singleNodeMultiWriter: boolean;
}

function askOnce(client: CsiDriverClient): RegisteredDriver["capabilities"] {
  let known: NodeCapabilities | undefined;
  return async (signal) => (known ??= await nodeCapabilities(client, signal));
}

async function nodeCapabilities(client: CsiDriverClient, signal: AbortSignal): Promise<NodeCapabilities> {
  const { capabilities } = await client.node.nodeGetCapabilities({}, { signal, timeoutMs: 30_000 });
  const types = new Set(capabilities.flatMap(({ type }) => (type.case === "rpc" ? [type.value.type] : [])));
  return {
    stage: types.has(NodeServiceCapability_RPC_Type.STAGE_UNSTAGE_VOLUME),
    expand: types.has(NodeServiceCapability_RPC_Type.EXPAND_VOLUME),
    stats: types.has(NodeServiceCapability_RPC_Type.GET_VOLUME_STATS),
    health: types.has(NodeServiceCapability_RPC_Type.GET_VOLUME_HEALTH),
    storageHealth: types.has(NodeServiceCapability_RPC_Type.GET_STORAGE_HEALTH),
    volumeMountGroup: types.has(NodeServiceCapability_RPC_Type.VOLUME_MOUNT_GROUP),
    singleNodeMultiWriter: types.has(NodeServiceCapability_RPC_Type.SINGLE_NODE_MULTI_WRITER),
  };
}
