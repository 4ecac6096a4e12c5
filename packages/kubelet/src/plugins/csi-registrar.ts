import type { CSIDriver, CSINode, CSINodeDriver, Node } from "@tripod/api/kubernetes";
import { isTripodError, KeyedMutex, type Logger, TaskOwner, TripodError } from "@tripod/base";
import { connectDriver, parseEndpoint, type RegisteredPlugin } from "@tripod/csi";
import { inTreePlugins } from "@tripod/csi/migration";
import { csiDrivers, csiNodes, type KubeClient, nodes } from "@tripod/kube";
import { ObjectFollower } from "../objects/object-follower.ts";
import type { CsiDrivers } from "../volumes/csi-drivers.ts";
import { checkDriverName, type DriverNode, driverNode } from "./driver-node.ts";
import { followAllocatable } from "./follow-allocatable.ts";

const nodeIdAnnotation = "csi.volume.kubernetes.io/nodeid";
/** On a CSINode: the kinds that were built in once and are CSI volumes on this node; upstream's. */
const migratedPluginsAnnotation = "storage.alpha.kubernetes.io/migrated-plugins";
const callTimeoutMs = 30_000;

export interface CsiRegistrarOptions {
  readonly client: KubeClient;
  readonly nodeName: string;
  readonly drivers: CsiDrivers;
  readonly log: Logger;
}

/** The CSINode's drivers with one put in, replaced or (without `driver`) taken out. Pure. */
export function withDriver(drivers: readonly CSINodeDriver[], name: string, driver?: DriverNode): CSINodeDriver[] {
  const others = drivers.filter((each) => each.name !== name);
  if (driver === undefined) return others;
  return [
    ...others,
    {
      name,
      nodeID: driver.nodeId,
      topologyKeys: Object.keys(driver.segments).toSorted(),
      ...(driver.maxVolumes > 0 ? { allocatable: { count: driver.maxVolumes } } : {}),
    },
  ];
}

/** The node-id annotation with one driver put in or (without `nodeId`) taken out; null takes the annotation away. Pure. */
export function withNodeId(annotation: string | undefined, name: string, nodeId?: string): string | null {
  let known: Record<string, unknown> = {};
  try {
    const parsed: unknown = JSON.parse(annotation ?? "{}");
    if (typeof parsed === "object" && parsed !== null) known = { ...parsed };
  } catch {
    known = {}; // somebody's garbage: written afresh
  }
  delete known[name];
  if (nodeId !== undefined) known[name] = nodeId;
  return Object.keys(known).length === 0 ? null : JSON.stringify(known);
}

/** Makes the CSI drivers that register with this kubelet known: to its volumes, in the CSINode object and on the Node. */
export class CsiRegistrar implements AsyncDisposable {
  readonly #options: CsiRegistrarOptions;
  readonly #locks = new KeyedMutex();
  /** The registration that counts, by driver. */
  readonly #current = new Map<string, RegisteredPlugin>();
  readonly #csiDrivers: ObjectFollower<CSIDriver>;
  readonly #tasks: TaskOwner;
  /** Ends the work that goes on for a driver while it is registered. */
  readonly #left = new Map<string, AbortController>();

  constructor(options: CsiRegistrarOptions) {
    this.#options = options;
    this.#csiDrivers = new ObjectFollower(options.client.resource(csiDrivers), options.log);
    this.#tasks = new TaskOwner("CSI registrar", options.log);
  }

  /** Makes the CSINode object, so that the scheduler and the attacher find one from the beginning. */
  async ensureCsiNode(node: Node, signal: AbortSignal): Promise<void> {
    const { client, nodeName } = this.#options;
    const owner = { apiVersion: "v1", kind: "Node", name: nodeName, uid: node.metadata?.uid ?? "" };
    const annotations = { [migratedPluginsAnnotation]: inTreePlugins.map((plugin) => plugin.name).join(",") };
    const object: CSINode = {
      metadata: { name: nodeName, ownerReferences: [owner], annotations },
      spec: { drivers: [] },
    };
    try {
      await client.resource(csiNodes).create(object, { signal });
    } catch (error) {
      if (!isTripodError(error, "already-exists")) throw error;
    }
  }

  /** Takes a driver in. A failure is thrown, so that the registration is tried again. */
  register(plugin: RegisteredPlugin, signal: AbortSignal): Promise<void> {
    return this.#locks.run(plugin.name, async () => {
      const { name, endpoint } = plugin;
      const { drivers, log } = this.#options;
      checkDriverName(name);
      parseEndpoint(endpoint);
      this.#current.set(name, plugin);
      await this.#announce(name, endpoint, signal);
      drivers.register(name, endpoint);
      this.#left.get(name)?.abort();
      const left = new AbortController();
      this.#left.set(name, left);
      this.#tasks.run(name, (stop) =>
        followAllocatable(name, {
          csiDrivers: this.#csiDrivers,
          update: (until) => this.refresh(name, until),
          log,
          signal: AbortSignal.any([left.signal, stop]),
        }),
      );
      log.info({ driver: name, endpoint }, "CSI driver registered");
    });
  }

  /** Asks a registered driver once more what it says of itself, and writes down what changed. */
  refresh(name: string, signal: AbortSignal): Promise<void> {
    return this.#locks.run(name, async () => {
      const endpoint = this.#current.get(name)?.endpoint;
      if (endpoint !== undefined) await this.#announce(name, endpoint, signal);
    });
  }

  async #announce(name: string, endpoint: string, signal: AbortSignal): Promise<void> {
    using driver = connectDriver(endpoint);
    const found = driverNode(name, await driver.node.nodeGetInfo({}, { signal, timeoutMs: callTimeoutMs }));
    await this.#updateNode(found, signal);
    await this.#updateCsiNode(name, found, signal);
  }

  /** Takes a driver out that has left. One that came back in the meantime, by another socket, stays. */
  unregister(plugin: RegisteredPlugin, signal: AbortSignal): Promise<void> {
    return this.#locks.run(plugin.name, async () => {
      const { name } = plugin;
      if (this.#current.get(name) !== plugin) return;
      this.#current.delete(name);
      this.#left.get(name)?.abort();
      this.#left.delete(name);
      const { client, nodeName, drivers, log } = this.#options;
      drivers.unregister(name);
      await this.#updateCsiNode(name, undefined, signal);
      const resource = client.resource(nodes);
      const annotation = (await resource.get(nodeName, { signal })).metadata.annotations?.[nodeIdAnnotation];
      const patch = { metadata: { annotations: { [nodeIdAnnotation]: withNodeId(annotation, name) } } };
      await resource.patch(nodeName, patch, { signal });
      log.info({ driver: name }, "CSI driver unregistered");
    });
  }

  async #updateNode({ name, nodeId, segments }: DriverNode, signal: AbortSignal): Promise<void> {
    const { client, nodeName } = this.#options;
    const resource = client.resource(nodes);
    const { labels = {}, annotations = {} } = (await resource.get(nodeName, { signal })).metadata;
    for (const [key, value] of Object.entries(segments)) {
      if (labels[key] !== undefined && labels[key] !== value) {
        const message = `driver ${name}: topology ${key}=${value} contradicts the node's label ${key}=${labels[key]}`;
        throw new TripodError("conflict", message);
      }
    }
    const annotation = withNodeId(annotations[nodeIdAnnotation], name, nodeId);
    const patch = { metadata: { labels: segments, annotations: { [nodeIdAnnotation]: annotation } } };
    await resource.patch(nodeName, patch, { signal });
  }

  /** Reads, changes and writes the CSINode, again when somebody else was faster. */
  async #updateCsiNode(name: string, driver: DriverNode | undefined, signal: AbortSignal): Promise<void> {
    const { client, nodeName } = this.#options;
    const resource = client.resource(csiNodes);
    for (;;) {
      const found = await resource.find(nodeName, { signal });
      if (found === undefined) {
        const node = await client.resource(nodes).get(nodeName, { signal });
        await this.ensureCsiNode(node, signal);
        continue;
      }
      const drivers = withDriver(found.spec?.drivers ?? [], name, driver);
      if (JSON.stringify(drivers) === JSON.stringify(found.spec?.drivers ?? [])) return;
      try {
        await resource.update({ ...found, spec: { ...found.spec, drivers } }, { signal });
        return;
      } catch (error) {
        if (!isTripodError(error, "conflict")) throw error;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks.stop();
    await this.#csiDrivers[Symbol.asyncDispose]();
  }
}
