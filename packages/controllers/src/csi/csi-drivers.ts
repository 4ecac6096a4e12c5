import { type FSWatcher, mkdirSync, readdirSync, watch } from "node:fs";
import { isAbsolute, join } from "node:path";
import {
  Controller,
  ControllerServiceCapability_RPC_Type,
  Identity,
  PluginCapability_Service_Type,
} from "@tripod/api/csi";
import { Registration } from "@tripod/api/plugin-registration";
import { type Logger, messageOf, TaskOwner, TripodError } from "@tripod/base";
import { type Client, GrpcChannel } from "@tripod/grpc";
import { abortableDelay } from "@tripod/kube";

/** A CSI driver that is registered on this machine, as its controller side is used. */
export interface CsiDriver {
  readonly name: string;
  readonly controller: Client<typeof Controller>;
  /** What its controller can do. */
  readonly rpcs: ReadonlySet<ControllerServiceCapability_RPC_Type>;
  /** It has a controller service at all. */
  readonly hasController: boolean;
  /** Its volumes are not reachable from every node. */
  readonly hasTopology: boolean;
}

interface Registered {
  readonly driver: CsiDriver;
  readonly channel: GrpcChannel;
}

const callTimeoutMs = 10_000;
const firstDelayMs = 50;
const longestDelayMs = 10_000;

/**
 * The CSI drivers that have a registration socket in the kubelet's plugin folder, followed live. Registering them with the kubelet
 * is the kubelet's part; here they are only asked who they are.
 */
export class CsiDrivers implements AsyncDisposable {
  readonly #dir: string;
  readonly #log: Logger;
  readonly #owner: TaskOwner;
  readonly #watcher: FSWatcher;
  /** By file name of the registration socket; undefined while it is being asked. */
  readonly #sockets = new Map<string, Registered | undefined>();
  readonly #listeners = new Set<(name: string) => void>();

  constructor(pluginsRegistryDir: string, log: Logger) {
    this.#dir = pluginsRegistryDir;
    this.#log = log;
    this.#owner = new TaskOwner("CSI drivers", log);
    mkdirSync(this.#dir, { recursive: true });
    this.#watcher = watch(this.#dir, () => this.#look());
    this.#watcher.on("error", (error) =>
      log.error({ dir: this.#dir, error: messageOf(error) }, "plugin folder is not watched any more"),
    );
    this.#look();
  }

  /** The driver of that name; undefined when none is registered. */
  get(name: string): CsiDriver | undefined {
    for (const registered of this.#sockets.values()) if (registered?.driver.name === name) return registered.driver;
    return undefined;
  }

  names(): string[] {
    return [...this.#sockets.values()].flatMap((registered) =>
      registered === undefined ? [] : [registered.driver.name],
    );
  }

  /** Calls `listener` with a driver's name whenever one appears. The returned function ends that. */
  onRegistered(listener: (name: string) => void): () => void {
    this.#listeners.add(listener);
    for (const name of this.names()) listener(name);
    return () => this.#listeners.delete(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watcher.close();
    await this.#owner.stop();
    for (const registered of this.#sockets.values()) registered?.channel[Symbol.dispose]();
    this.#sockets.clear();
  }

  #look(): void {
    let files: string[];
    try {
      files = readdirSync(this.#dir, { withFileTypes: true }).flatMap((entry) =>
        entry.isSocket() ? [entry.name] : [],
      );
    } catch (error) {
      this.#log.warn({ dir: this.#dir, error: messageOf(error) }, "plugin folder cannot be read");
      return;
    }
    for (const [file, registered] of this.#sockets) {
      if (files.includes(file)) continue;
      this.#sockets.delete(file);
      registered?.channel[Symbol.dispose]();
    }
    for (const file of files) {
      if (this.#sockets.has(file)) continue;
      this.#sockets.set(file, undefined);
      this.#owner.run(file, (signal) => this.#register(file, signal));
    }
  }

  /** Asks until an answer comes or the socket goes. */
  async #register(file: string, signal: AbortSignal): Promise<void> {
    for (let delayMs = firstDelayMs; this.#sockets.has(file); delayMs = Math.min(longestDelayMs, delayMs * 2)) {
      try {
        const registered = await connectDriver(join(this.#dir, file), signal);
        // The socket may have gone meanwhile.
        if (!this.#sockets.has(file) || signal.aborted) {
          registered?.channel[Symbol.dispose]();
          return;
        }
        if (registered === undefined) return;
        this.#sockets.set(file, registered);
        this.#log.info({ driver: registered.driver.name, socket: file }, "CSI driver found");
        for (const listener of this.#listeners) listener(registered.driver.name);
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#log.debug({ socket: file, error: messageOf(error) }, "CSI driver does not answer yet");
        await abortableDelay(delayMs, signal);
      }
    }
  }
}

/** undefined: the socket belongs to a plugin of another type. */
async function connectDriver(socket: string, signal: AbortSignal): Promise<Registered | undefined> {
  const options = { signal, timeoutMs: callTimeoutMs };
  using registration = new GrpcChannel({ socket });
  const info = await registration.client(Registration).getInfo({}, options);
  if (info.type !== "CSIPlugin") return undefined;
  if (!isAbsolute(info.endpoint))
    throw new TripodError(
      "invalid",
      `register CSI driver ${info.name}: its endpoint ${JSON.stringify(info.endpoint)} is no absolute path`,
    );
  const channel = new GrpcChannel({ socket: info.endpoint });
  try {
    const { capabilities } = await channel.client(Identity).getPluginCapabilities({}, options);
    const services = new Set(
      capabilities.map((each) => (each.type.case === "service" ? each.type.value.type : undefined)),
    );
    const controller = channel.client(Controller);
    const hasController = services.has(PluginCapability_Service_Type.CONTROLLER_SERVICE);
    const rpcs = new Set<ControllerServiceCapability_RPC_Type>();
    if (hasController)
      for (const { type } of (await controller.controllerGetCapabilities({}, options)).capabilities)
        if (type.case === "rpc") rpcs.add(type.value.type);
    const hasTopology = services.has(PluginCapability_Service_Type.VOLUME_ACCESSIBILITY_CONSTRAINTS);
    return { channel, driver: { name: info.name, controller, rpcs, hasController, hasTopology } };
  } catch (error) {
    channel[Symbol.dispose]();
    throw error;
  }
}
