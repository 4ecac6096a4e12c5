import type { Duplex } from "node:stream";
import { create } from "@bufbuild/protobuf";
import { EmptySchema, Event, Plugin, Runtime, StateChangeEventSchema } from "@tripod/api/nri";
import { isTripodError, type Logger, messageOf, TripodError } from "@tripod/base";
import { type Client, implement, type ServiceImpl, TtrpcClient, TtrpcConnection } from "@tripod/ttrpc";
import { Mux } from "./mux.ts";

/** What has a name and an index: "NN-name". */
export interface PluginName {
  readonly index: string;
  readonly name: string;
}

/** What the runtime does for a plugin that asks. */
export type RuntimeSide = Pick<ServiceImpl<typeof Runtime>, "updateContainers">;

export interface PluginOptions {
  /** Known before for one that was started here; else it tells when it registers. */
  readonly known?: PluginName;
  readonly requestTimeoutMs: number;
  readonly registrationTimeoutMs: number;
  readonly runtime: RuntimeSide;
  readonly log: Logger;
}

/** Every bit of every event that we know. */
const allEvents = (1 << (Event.LAST - 1)) - 1;

type Method = Exclude<keyof Client<typeof Plugin>, "configure" | "synchronize" | "shutdown" | "stateChange">;

const eventOf: Readonly<Record<Method, Event>> = {
  runPodSandbox: Event.RUN_POD_SANDBOX,
  updatePodSandbox: Event.UPDATE_POD_SANDBOX,
  postUpdatePodSandbox: Event.POST_UPDATE_POD_SANDBOX,
  stopPodSandbox: Event.STOP_POD_SANDBOX,
  removePodSandbox: Event.REMOVE_POD_SANDBOX,
  createContainer: Event.CREATE_CONTAINER,
  postCreateContainer: Event.POST_CREATE_CONTAINER,
  startContainer: Event.START_CONTAINER,
  postStartContainer: Event.POST_START_CONTAINER,
  updateContainer: Event.UPDATE_CONTAINER,
  postUpdateContainer: Event.POST_UPDATE_CONTAINER,
  stopContainer: Event.STOP_CONTAINER,
  removeContainer: Event.REMOVE_CONTAINER,
  validateContainerAdjustment: Event.VALIDATE_CONTAINER_ADJUSTMENT,
};

/** What a plugin of before NRI 0.12 hears as StateChange. */
const asStateChange: ReadonlySet<Method> = new Set([
  "runPodSandbox",
  "postUpdatePodSandbox",
  "stopPodSandbox",
  "removePodSandbox",
  "postCreateContainer",
  "startContainer",
  "postStartContainer",
  "postUpdateContainer",
  "removeContainer",
]);

/** One plugin's connection. It is dropped when it hangs, breaks the protocol or goes away. */
export class NriPlugin implements Disposable {
  readonly #options: PluginOptions;
  readonly #registered = Promise.withResolvers<PluginName>();
  readonly #client: TtrpcClient;
  readonly #plugin: Client<typeof Plugin>;
  #name: PluginName | undefined;
  #events = 0;
  #dropped = false;
  /** Resolved when it has been synchronized, or dropped: no event reaches it before. */
  ready: Promise<void> = Promise.resolve();

  constructor(trunk: Duplex, options: PluginOptions) {
    this.#options = options;
    this.#name = options.known;
    const mux = new Mux(trunk);
    // The trunk is read from the next turn on: both channels are open by then.
    this.#client = new TtrpcClient(mux.open(1), { peer: "nri plugin" });
    this.#plugin = this.#client.client(Plugin);
    const connection = new TtrpcConnection(mux.open(2), {
      maxCalls: 64,
      services: [
        implement(Runtime, {
          registerPlugin: async ({ pluginName, pluginIdx }) => {
            this.#register({ name: pluginName, index: pluginIdx });
            return {};
          },
          updateContainers: async (request, context) => {
            await this.ready;
            if (!this.synchronized) throw new TripodError("failed-precondition", "nri: register first");
            if (options.runtime.updateContainers === undefined) return {};
            return options.runtime.updateContainers(request, context);
          },
        }),
      ],
    });
    void connection.closed.then(() => this.drop("it closed its connection"));
    void this.#client.closed.then(() => this.drop("it closed its connection"));
    this.#registered.promise.catch(() => {}); // told by registration()
  }

  synchronized = false;

  get title(): string {
    return this.#name === undefined ? "(unregistered)" : `${this.#name.index}-${this.#name.name}`;
  }

  /** By which plugins are ordered. */
  get index(): string {
    return this.#name?.index ?? "";
  }

  get name(): string {
    return this.#name?.name ?? "";
  }

  get dropped(): boolean {
    return this.#dropped;
  }

  get closed(): Promise<void> {
    return this.#client.closed;
  }

  wants(method: Method): boolean {
    return !this.#dropped && (this.#events & (1 << (eventOf[method] - 1))) !== 0;
  }

  #register(told: PluginName): void {
    const { known } = this.#options;
    if (known === undefined) {
      if (!/^[0-9]{2}$/.test(told.index) || !/^[A-Za-z0-9_.+-]{1,128}$/.test(told.name)) {
        const error = new TripodError(
          "invalid",
          `nri: register: index ${JSON.stringify(told.index.slice(0, 64))} must be two digits, name ${JSON.stringify(told.name.slice(0, 64))} of letters, digits and _.+-`,
        );
        this.#registered.reject(error);
        throw error;
      }
      this.#name ??= told;
    }
    this.#registered.resolve(known ?? told);
  }

  /** Waits until it has registered, then configures it and learns what it subscribes to. */
  async start(configure: {
    readonly config: string;
    readonly runtimeName: string;
    readonly runtimeVersion: string;
  }): Promise<void> {
    const { registrationTimeoutMs, requestTimeoutMs } = this.#options;
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new TripodError("timeout", `nri: it did not register within ${registrationTimeoutMs} ms`)),
      registrationTimeoutMs,
    );
    const gone = this.closed.then(() => {
      throw new TripodError("unavailable", "nri: it closed its connection before it registered");
    });
    try {
      await Promise.race([this.#registered.promise, late.promise, gone]);
    } finally {
      clearTimeout(timer);
      gone.catch(() => {}); // later its end is told by drop()
    }
    const { events } = await this.#plugin.configure(
      {
        ...configure,
        registrationTimeout: BigInt(registrationTimeoutMs),
        requestTimeout: BigInt(requestTimeoutMs),
        NRIVersion: "v0.12.0",
      },
      { timeoutMs: requestTimeoutMs },
    );
    if ((events & ~allEvents) !== 0) {
      throw new TripodError("invalid", `nri: it subscribes to unknown events (${events})`);
    }
    this.#events = events === 0 ? allEvents : events;
  }

  /** One part of the state. An old plugin that cannot take several parts is an error. */
  synchronize(part: Parameters<Client<typeof Plugin>["synchronize"]>[0]) {
    return this.#plugin.synchronize(part, { timeoutMs: this.#options.requestTimeoutMs });
  }

  /**
   * Asks it, when it has subscribed to that. Undefined when it has not, or has been dropped for not answering; an error that it answered
   * with is thrown.
   */
  async call<M extends Method>(
    method: M,
    request: Parameters<Client<typeof Plugin>[M]>[0],
  ): Promise<Awaited<ReturnType<Client<typeof Plugin>[M]>> | undefined> {
    await this.ready;
    if (!this.wants(method)) return undefined;
    const ask = this.#plugin[method] as (request: unknown, options: object) => Promise<unknown>; // by M
    const timeoutMs = this.#options.requestTimeoutMs;
    try {
      // The reply is of the method's type.
      return (await ask(request, { timeoutMs })) as Awaited<ReturnType<Client<typeof Plugin>[M]>>;
    } catch (error) {
      if (isTripodError(error, "unimplemented")) {
        if (asStateChange.has(method)) await this.#stateChange(method, request);
        return undefined;
      }
      return this.#failed(method, error);
    }
  }

  async #stateChange(method: Method, request: object): Promise<void> {
    try {
      const event = create(StateChangeEventSchema, { ...request, event: eventOf[method] });
      await this.#plugin.stateChange(event, { timeoutMs: this.#options.requestTimeoutMs });
    } catch (error) {
      if (!isTripodError(error, "unimplemented")) this.#failed(method, error);
    }
  }

  #failed(method: string, error: unknown): undefined {
    if (isTripodError(error, "timeout", "unavailable", "corrupt")) {
      this.drop(`${method}: ${messageOf(error)}`);
      return undefined;
    }
    throw new TripodError(
      isTripodError(error) ? error.code : "internal",
      `nri: plugin ${this.title}: ${method}: ${messageOf(error)}`,
      { cause: error },
    );
  }

  /** Tells it that the runtime goes away; whatever it says. */
  async shutdown(): Promise<void> {
    if (this.#dropped) return;
    try {
      await this.#plugin.shutdown(create(EmptySchema), { timeoutMs: 500 });
    } catch (error) {
      this.#options.log.debug({ plugin: this.title, error: messageOf(error) }, "nri: shutdown was not heard");
    }
    this[Symbol.dispose]();
  }

  drop(why: string): void {
    if (this.#dropped) return;
    this.#dropped = true;
    this.#options.log.warn({ plugin: this.title, why }, "nri: plugin dropped");
    this.#client[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#dropped = true;
    this.#client[Symbol.dispose]();
  }
}
