import {
  type Controller,
  ControllerServiceCapability_RPC_Type,
  type GroupController,
  type GroupControllerServiceCapability_RPC_Type,
  NodeServiceCapability_RPC_Type,
  PluginCapability_Service_Type,
  PluginCapability_VolumeExpansion_Type,
} from "@tripod/api/csi";
import { codeOf, type Logger } from "@tripod/base";
import { connectDriver, type CsiDriverClient, type RegisteredPlugin, watchPlugins } from "@tripod/csi";
import type { CallOptions, Client } from "@tripod/grpc";

/** A CSI driver that is registered on this machine, as its controller side is used. */
export interface CsiDriver {
  readonly name: string;
  readonly controller: Client<typeof Controller>;
  /** What its controller can do; nothing when it has no controller service. */
  readonly rpcs: ReadonlySet<ControllerServiceCapability_RPC_Type>;
  readonly groupController: Client<typeof GroupController>;
  readonly groupRpcs: ReadonlySet<GroupControllerServiceCapability_RPC_Type>;
  /** Its volumes are not reachable from every node. */
  readonly hasTopology: boolean;
  /** Its volumes grow while they are in use; false where the driver says that they do so only out of use. */
  readonly growsInUse: boolean;
  /** Its node service has work to do where a volume grows; looked at only where its controller has none. */
  readonly growsOnNodes: boolean;
}

interface Registered {
  readonly driver: CsiDriver;
  readonly client: CsiDriverClient;
}

const callTimeoutMs = 10_000;

/**
 * The CSI drivers that have a registration socket in the kubelet's plugin folder, followed live. Registering them with the kubelet
 * is the kubelet's part; here they are only asked who they are.
 */
export class CsiDrivers implements AsyncDisposable {
  readonly #watcher: AsyncDisposable;
  /** By registration socket. */
  readonly #registered = new Map<string, Registered>();
  readonly #listeners = new Set<(name: string) => void>();

  constructor(pluginsRegistryDir: string, log: Logger) {
    this.#watcher = watchPlugins(pluginsRegistryDir, {
      log,
      notify: false,
      registered: (plugin, signal) => this.#add(plugin, signal),
      unregistered: async (plugin) => this.#remove(plugin.socket),
    });
  }

  /** The driver of that name; undefined when none is registered. */
  get(name: string): CsiDriver | undefined {
    for (const { driver } of this.#registered.values()) if (driver.name === name) return driver;
    return undefined;
  }

  /** Calls `listener` with the name of every driver that is there, and of each that comes. The returned function ends that. */
  onRegistered(listener: (name: string) => void): () => void {
    this.#listeners.add(listener);
    for (const { driver } of this.#registered.values()) listener(driver.name);
    return () => this.#listeners.delete(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watcher[Symbol.asyncDispose]();
    for (const socket of this.#registered.keys()) this.#remove(socket);
  }

  async #add(plugin: RegisteredPlugin, signal: AbortSignal): Promise<void> {
    if (plugin.type !== "CSIPlugin") return;
    const client = connectDriver(plugin.endpoint);
    try {
      const driver = await describe(plugin.name, client, signal);
      this.#remove(plugin.socket);
      this.#registered.set(plugin.socket, { driver, client });
    } catch (error) {
      client[Symbol.dispose]();
      throw error;
    }
    for (const listener of this.#listeners) listener(plugin.name);
  }

  #remove(socket: string): void {
    this.#registered.get(socket)?.client[Symbol.dispose]();
    this.#registered.delete(socket);
  }
}

async function describe(name: string, client: CsiDriverClient, signal: AbortSignal): Promise<CsiDriver> {
  const options = { signal, timeoutMs: callTimeoutMs };
  const { capabilities } = await client.identity.getPluginCapabilities({}, options);
  const services = new Set(capabilities.map(({ type }) => (type.case === "service" ? type.value.type : undefined)));
  const rpcs = new Set<ControllerServiceCapability_RPC_Type>();
  if (services.has(PluginCapability_Service_Type.CONTROLLER_SERVICE))
    for (const { type } of (await client.controller.controllerGetCapabilities({}, options)).capabilities)
      if (type.case === "rpc") rpcs.add(type.value.type);
  const groupRpcs = new Set<GroupControllerServiceCapability_RPC_Type>();
  if (services.has(PluginCapability_Service_Type.GROUP_CONTROLLER_SERVICE))
    for (const { type } of (await client.groupController.groupControllerGetCapabilities({}, options)).capabilities)
      if (type.case === "rpc") groupRpcs.add(type.value.type);
  const hasTopology = services.has(PluginCapability_Service_Type.VOLUME_ACCESSIBILITY_CONSTRAINTS);
  const growsInUse = !capabilities.some(
    ({ type }) => type.case === "volumeExpansion" && type.value.type === PluginCapability_VolumeExpansion_Type.OFFLINE,
  );
  const growsOnNodes =
    !rpcs.has(ControllerServiceCapability_RPC_Type.EXPAND_VOLUME) && (await hasNodeExpansion(client, options));
  const { controller, groupController } = client;
  return { name, controller, rpcs, groupController, groupRpcs, hasTopology, growsInUse, growsOnNodes };
}

async function hasNodeExpansion({ node }: CsiDriverClient, options: CallOptions): Promise<boolean> {
  try {
    const { capabilities } = await node.nodeGetCapabilities({}, options);
    return capabilities.some(
      ({ type }) => type.case === "rpc" && type.value.type === NodeServiceCapability_RPC_Type.EXPAND_VOLUME,
    );
  } catch (error) {
    if (codeOf(error) === "unimplemented") return false; // this socket is of the controller alone
    throw error;
  }
}
