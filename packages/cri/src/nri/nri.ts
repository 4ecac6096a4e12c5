import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import type { Duplex } from "node:stream";
import { clone } from "@bufbuild/protobuf";
import type { LinuxContainerResources } from "@tripod/api/cri";
import { type ContainerEviction, ContainerSchema, type LinuxResources } from "@tripod/api/nri";
import { messageOf, TripodError } from "@tripod/base";
import { socketIsLive } from "@tripod/grpc";
import type { RuntimeSpec } from "@tripod/oci";
import type { LimitsChange } from "../container/update.ts";
import type { CriContext } from "../context.ts";
import type { ContainerRecord } from "../records/container-record.ts";
import type { SandboxRecord } from "../records/sandbox-record.ts";
import { runtimeVersion } from "../runtime/version.ts";
import { adjustSpec } from "./adjust-spec.ts";
import { applyUpdates, evict } from "./apply-updates.ts";
import { describeContainer, describePod, describeResources, describeStored } from "./describe.ts";
import { endLeftPlugins, type InstalledPlugin, installedPlugins, launchPlugin } from "./launch.ts";
import { limitsChange } from "./limits-change.ts";
import { MergedAdjustment } from "./merge-adjustment.ts";
import { copyResources, mergeResources } from "./merge-resources.ts";
import { mergeUpdates, type WantedUpdate } from "./merge-updates.ts";
import { Owners } from "./owners.ts";
import { NriPlugin } from "./plugin.ts";
import { synchronize } from "./synchronize.ts";

type Notice =
  | "postUpdatePodSandbox"
  | "stopPodSandbox"
  | "removePodSandbox"
  | "postCreateContainer"
  | "postStartContainer"
  | "postUpdateContainer"
  | "removeContainer";

/**
 * The node resource interface: programs that are told of sandboxes and containers, and adjust them. One event at a time goes to all
 * plugins, those of a lower index first.
 *
 * A plugin joins in one synchronous step, in which it becomes one of those who are told and the state that it will be given is taken. So
 * whatever is made is either in that state or comes to it as an event; events wait until it has been given the state.
 */
export class Nri implements AsyncDisposable {
  readonly #context: () => CriContext;
  #plugins: NriPlugin[] = [];
  #server: Server | undefined;
  readonly #trunks = new Set<Duplex>();
  /** What is being made, and whose making the plugins of that time have been told of. */
  readonly #told = new Set<string>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(context: () => CriContext) {
    this.#context = context;
  }

  get #config() {
    const { layout, config } = this.#context();
    return {
      socket: join(layout.runDir, "nri.sock"),
      pluginDir: join(layout.etcDir, "nri/plugins"),
      pluginConfigDir: join(layout.etcDir, "nri/conf.d"),
      registrationTimeoutMs: 5000,
      requestTimeoutMs: 2000,
      disable: false,
      ...config.nri,
    };
  }

  /** Starts the installed plugins, then takes connections of others. */
  async start(): Promise<void> {
    const { socket, pluginDir, pluginConfigDir, disable } = this.#config;
    const { layout, log, tasks } = this.#context();
    const recordDir = join(layout.runDir, "nri");
    endLeftPlugins(recordDir);
    if (disable) return;
    const launch = async (plugin: InstalledPlugin): Promise<void> => {
      try {
        const launched = launchPlugin(plugin, recordDir);
        launched.trunk.once("close", () => launched[Symbol.dispose]());
        await this.#join(launched.trunk, plugin);
      } catch (error) {
        log.error({ plugin: plugin.path, error: messageOf(error) }, "nri: installed plugin left out");
      }
    };
    await Promise.all(installedPlugins(pluginDir, pluginConfigDir).map(launch));
    if (await socketIsLive(socket)) {
      throw new TripodError("already-exists", `nri: another process serves ${socket}; set nri.socket to another path`);
    }
    mkdirSync(dirname(socket), { recursive: true, mode: 0o711 });
    rmSync(socket, { force: true });
    const server = createServer((connection) => {
      tasks.run("let an NRI plugin join", async () => {
        try {
          await this.#join(connection);
        } catch (error) {
          log.warn({ error: messageOf(error) }, "nri: plugin refused");
        }
      });
    });
    server.maxConnections = 64;
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(socket, resolve);
    });
    chmodSync(socket, 0o600);
  }

  async #join(trunk: Duplex, installed?: InstalledPlugin): Promise<void> {
    this.#trunks.add(trunk);
    trunk.once("close", () => this.#trunks.delete(trunk));
    const context = this.#context();
    const { requestTimeoutMs, registrationTimeoutMs } = this.#config;
    const plugin = new NriPlugin(trunk, {
      ...(installed !== undefined && { known: installed }),
      requestTimeoutMs,
      registrationTimeoutMs,
      log: context.log,
      runtime: {
        updateContainers: async ({ update, evict: evictions }) => {
          const wanted = new Map<string, WantedUpdate>();
          mergeUpdates(update, { into: wanted, owners: new Owners(), plugin: plugin.title });
          const failed = await applyUpdates(context, wanted.values());
          await evict(context, evictions);
          return { failed };
        },
      },
    });
    try {
      const { config = "" } = installed ?? {};
      await plugin.start({ config, runtimeName: "tripod", runtimeVersion });
      const synchronized = Promise.withResolvers<void>();
      // From here to the list of containers nothing else runs.
      plugin.ready = synchronized.promise;
      this.#plugins = [...this.#plugins, plugin].toSorted((one, other) => one.index.localeCompare(other.index));
      void plugin.closed.then(() => {
        this.#plugins = this.#plugins.filter((other) => other !== plugin);
      });
      const shown = <T extends SandboxRecord | ContainerRecord>(resources: T[]): T[] =>
        resources.filter(({ id, phase }) => phase !== "removing" && (phase !== "making" || this.#told.has(id)));
      const sandboxes = shown(context.sandboxes.list());
      const containers = shown(context.containers.list());
      try {
        const described = [];
        for (const container of containers) described.push(await describeStored(context, container));
        const updates = await synchronize(plugin, sandboxes.map(describePod), described);
        plugin.synchronized = true;
        context.log.info({ plugin: plugin.title }, "nri: plugin joined");
        const wanted = new Map<string, WantedUpdate>();
        mergeUpdates(updates, { into: wanted, owners: new Owners(), plugin: plugin.title });
        context.tasks.run("apply what an NRI plugin wants", async () => {
          await applyUpdates(context, wanted.values());
        });
      } finally {
        if (!plugin.synchronized) plugin[Symbol.dispose]();
        synchronized.resolve();
      }
    } catch (error) {
      plugin.drop(messageOf(error));
      throw error;
    }
  }

  /** False where nothing needs to be asked or told. */
  get #active(): boolean {
    return this.#plugins.length > 0;
  }

  /** One event after another, each through all plugins of its time. */
  #serially<T>(work: (plugins: readonly NriPlugin[]) => Promise<T>): Promise<T> {
    const result = this.#last.then(() => work(this.#plugins));
    this.#last = result.catch(() => {}); // the caller hears of it
    return result;
  }

  /** Tells of what has happened: no answer changes it. */
  #tell(method: Notice, request: () => Promise<object> | object): Promise<void> {
    if (!this.#active) return Promise.resolve();
    return this.#serially(async (plugins) => {
      const message = await request();
      for (const plugin of plugins) {
        try {
          await plugin.call(method, message);
        } catch (error) {
          this.#context().log.warn({ plugin: plugin.title, method, error: messageOf(error) }, "nri: plugin failed");
        }
      }
    });
  }

  #tellLater(method: Notice, container: ContainerRecord): void {
    if (this.#active) this.#context().tasks.run("tell NRI plugins", () => this.#about(method, container));
  }

  /** Before a sandbox is ready: a plugin may refuse it. */
  async runningSandbox(sandbox: SandboxRecord): Promise<void> {
    if (!this.#active) {
      this.#told.add(sandbox.id);
      return;
    }
    await this.#serially(async (plugins) => {
      this.#told.add(sandbox.id); // in one step with the look at who is there
      for (const plugin of plugins) await plugin.call("runPodSandbox", { pod: describePod(sandbox) });
    });
  }

  /** It is ready, or will never be. */
  async madeSandbox(sandbox: SandboxRecord, made: boolean): Promise<void> {
    this.#told.delete(sandbox.id);
    if (!made) await this.removedSandbox(sandbox);
  }

  /** Before the limits of a sandbox change: a plugin may refuse it. */
  async updatingSandbox(
    sandbox: SandboxRecord,
    change: {
      readonly resources: LinuxContainerResources | undefined;
      readonly overhead: LinuxContainerResources | undefined;
    },
  ): Promise<void> {
    if (!this.#active) return;
    const request = {
      pod: describePod(sandbox),
      overheadLinuxResources: describeResources(change.overhead),
      linuxResources: describeResources(change.resources),
    };
    await this.#serially(async (plugins) => {
      for (const plugin of plugins) await plugin.call("updatePodSandbox", request);
    });
  }

  updatedSandbox(sandbox: SandboxRecord): void {
    if (!this.#active) return;
    this.#context().tasks.run("tell NRI plugins", () =>
      this.#tell("postUpdatePodSandbox", () => ({ pod: describePod(sandbox) })),
    );
  }

  stoppedSandbox(sandbox: SandboxRecord): Promise<void> {
    return this.#tell("stopPodSandbox", () => ({ pod: describePod(sandbox) }));
  }

  removedSandbox(sandbox: SandboxRecord): Promise<void> {
    return this.#tell("removePodSandbox", () => ({ pod: describePod(sandbox) }));
  }

  /** config.json of a container that is about to be made, as the plugins want it. */
  async adjust(container: ContainerRecord, sandbox: SandboxRecord, spec: RuntimeSpec): Promise<RuntimeSpec> {
    if (!this.#active) {
      this.#told.add(container.id);
      return spec;
    }
    const context = this.#context();
    const updates = new Map<string, WantedUpdate>();
    const evictions: ContainerEviction[] = [];
    const adjusted = await this.#serially(async (plugins) => {
      this.#told.add(container.id); // in one step with the look at who is there
      const pod = describePod(sandbox);
      const plain = describeContainer(container, spec);
      const owners = new Owners();
      const merged = new MergedAdjustment(clone(ContainerSchema, plain), owners);
      for (const plugin of plugins) {
        const reply = await plugin.call("createContainer", { pod, container: merged.container });
        if (reply === undefined) continue;
        merged.apply(reply.adjust, plugin.title);
        const by = { into: updates, owners, plugin: plugin.title, creating: container.id };
        mergeUpdates(reply.update, by);
        evictions.push(...reply.evict);
      }
      const { adjustment: adjust } = merged;
      const request = {
        pod,
        container: plain,
        adjust,
        update: [...updates.values()].map(({ containerId, resources }) => ({ containerId, linux: { resources } })),
        owners: owners.message(),
        plugins: plugins.map(({ name, index }) => ({ name, index })),
      };
      await Promise.all(plugins.map((plugin) => validate(plugin, request)));
      return adjustSpec(spec, adjust, context.cdi);
    });
    await evict(context, evictions);
    await applyUpdates(context, updates.values());
    const { phase = "removed" } = context.sandboxes.find(sandbox.id) ?? {};
    if (phase !== "ready") {
      throw new TripodError(
        "failed-precondition",
        `create container: sandbox ${sandbox.id} became ${phase} while plugins were asked; run a new one`,
      );
    }
    return adjusted;
  }

  /** It is there, or will never be. */
  async madeContainer(container: ContainerRecord, made: boolean): Promise<void> {
    this.#told.delete(container.id);
    if (!made) await this.removedContainer(container);
    else this.#tellLater("postCreateContainer", container);
  }

  /** Before a container is started: a plugin may refuse it. */
  async starting(container: ContainerRecord): Promise<void> {
    if (!this.#active) return;
    const pod = this.#podOf(container);
    await this.#serially(async (plugins) => {
      const described = await describeStored(this.#context(), container);
      for (const plugin of plugins) await plugin.call("startContainer", { pod, container: described });
    });
  }

  started(container: ContainerRecord): void {
    this.#tellLater("postStartContainer", container);
  }

  /** Before the limits of a container change: what they shall be. */
  async updating(id: string, change: LinuxContainerResources): Promise<LimitsChange> {
    if (!this.#active) return { resources: change };
    const context = this.#context();
    const container = context.containers.get(id);
    const updates = new Map<string, WantedUpdate>();
    const evictions: ContainerEviction[] = [];
    const own = await this.#serially(async (plugins) => {
      const described = await describeStored(context, container);
      const pod = this.#podOf(container);
      const owners = new Owners();
      const asked = describeResources(change);
      for (const plugin of plugins) {
        const wanted = updates.get(id)?.resources;
        const linuxResources = overlaid(asked, wanted);
        const reply = await plugin.call("updateContainer", { pod, container: described, linuxResources });
        if (reply === undefined) continue;
        mergeUpdates(reply.update, { into: updates, owners, plugin: plugin.title });
        evictions.push(...reply.evict);
      }
      const wanted = updates.get(id);
      updates.delete(id);
      return wanted === undefined ? { resources: change } : limitsChange(wanted, change);
    });
    await evict(context, evictions);
    await applyUpdates(context, updates.values());
    return own;
  }

  updated(id: string): void {
    if (!this.#active) return;
    const container = this.#context().containers.find(id);
    if (container !== undefined) this.#tellLater("postUpdateContainer", container);
  }

  /** It has ended, whyever: plugins may give to others what it had. */
  exited(container: ContainerRecord): void {
    if (!this.#active) return;
    const context = this.#context();
    context.tasks.run("tell NRI plugins of an end", async () => {
      const updates = new Map<string, WantedUpdate>();
      await this.#serially(async (plugins) => {
        const request = { pod: this.#podOf(container), container: await describeStored(context, container) };
        const owners = new Owners();
        for (const plugin of plugins) {
          try {
            const reply = await plugin.call("stopContainer", request);
            if (reply !== undefined) mergeUpdates(reply.update, { into: updates, owners, plugin: plugin.title });
          } catch (error) {
            context.log.warn({ plugin: plugin.title, error: messageOf(error) }, "nri: plugin failed");
          }
        }
      });
      await applyUpdates(context, updates.values());
    });
  }

  removedContainer(container: ContainerRecord): Promise<void> {
    return this.#about("removeContainer", container);
  }

  /** Resolves when the plugins have been told of all that has happened so far. */
  async settled(): Promise<void> {
    if (this.#active) await this.#last;
  }

  #podOf(container: ContainerRecord) {
    const sandbox = this.#context().sandboxes.find(container.sandboxId);
    return sandbox === undefined ? {} : describePod(sandbox);
  }

  #about(method: Notice, container: ContainerRecord): Promise<void> {
    const pod = this.#active ? this.#podOf(container) : {};
    return this.#tell(method, async () => ({ pod, container: await describeStored(this.#context(), container) }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server;
    const closed = server === undefined ? undefined : new Promise<void>((resolve) => server.close(() => resolve()));
    await Promise.all(this.#plugins.map((plugin) => plugin.shutdown()));
    for (const trunk of this.#trunks) trunk.destroy(); // which ends those that were started here
    await closed;
    if (server !== undefined) rmSync(this.#config.socket, { force: true });
  }
}

async function validate(
  plugin: NriPlugin,
  request: Parameters<typeof plugin.call<"validateContainerAdjustment">>[1],
): Promise<void> {
  if (!plugin.wants("validateContainerAdjustment")) return;
  const reply = await plugin.call("validateContainerAdjustment", request);
  if (reply?.reject === true) {
    throw new TripodError(
      "failed-precondition",
      `nri: plugin ${plugin.title} refuses the adjustments: ${reply.reason}`,
    );
  }
  if (plugin.dropped) {
    throw new TripodError("unavailable", `nri: plugin ${plugin.title}, which has to approve adjustments, was dropped`);
  }
}

/** What is asked for, with what plugins made of it. */
function overlaid(asked: LinuxResources, wanted: LinuxResources | undefined): LinuxResources {
  const result = copyResources(asked);
  mergeResources(wanted, { into: result, owners: { claim() {} }, containerId: "", plugin: "" });
  return result;
}
