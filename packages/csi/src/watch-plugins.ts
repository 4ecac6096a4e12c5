import { type FSWatcher, lstatSync, mkdirSync, readdirSync, watch } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Registration } from "@tripod/api/plugin-registration";
import { Backoff, type Logger, messageOf, TaskOwner } from "@tripod/base";
import { GrpcChannel } from "@tripod/grpc";

/** A plugin that offered itself through a socket in the registry folder. */
export interface RegisteredPlugin {
  /** "CSIPlugin", "DevicePlugin", … */
  readonly type: string;
  readonly name: string;
  /** Where its services are: the endpoint that it named, or the registration socket when it named none. */
  readonly endpoint: string;
  readonly supportedVersions: readonly string[];
  /** The registration socket. */
  readonly socket: string;
}

export interface WatchPluginsOptions {
  /** Takes a plugin up. A throw is told to the plugin, and it is tried again later. */
  readonly registered: (plugin: RegisteredPlugin, signal: AbortSignal) => Promise<void>;
  /** Its socket is gone. */
  readonly unregistered?: (plugin: RegisteredPlugin) => Promise<void>;
  /** Whether plugins are told the result, as the kubelet and nobody else does; true unless told. */
  readonly notify?: boolean;
  readonly log: Logger;
}

const callTimeoutMs = 10_000;

/** Folders in folders are looked into as deep as this. */
const deepest = 8;

/**
 * Follows the kubelet's plugin folder and the folders in it: each socket there (hidden ones are passed over) is asked who it is, and handed on. Sockets on which
 * nobody listens (left by a killed process) are asked again with growing pauses, and at once when they are replaced.
 */
export class PluginWatcher implements AsyncDisposable {
  readonly #dir: string;
  readonly #options: WatchPluginsOptions;
  readonly #owner: TaskOwner;
  /** By folder. */
  readonly #watchers = new Map<string, { readonly identity: string; readonly watcher: FSWatcher }>();
  /** By path in the folder; aborted when the socket goes or is replaced. */
  readonly #sockets = new Map<string, { readonly identity: string; readonly abort: AbortController }>();

  constructor(dir: string, options: WatchPluginsOptions) {
    this.#dir = dir;
    this.#options = options;
    this.#owner = new TaskOwner("plugin watcher", options.log);
    this.#look();
  }

  #look(): void {
    const found = new Map<string, string>();
    const folders = new Set<string>();
    try {
      mkdirSync(this.#dir, { recursive: true });
      this.#collect(this.#dir, { found, folders, depth: 0 });
    } catch (error) {
      this.#options.log.warn({ dir: this.#dir, error: messageOf(error) }, "plugin folder cannot be read");
    }
    for (const [folder, { watcher }] of this.#watchers) {
      if (folders.has(folder)) continue;
      this.#watchers.delete(folder);
      watcher.close();
    }
    for (const [path, { identity, abort }] of this.#sockets) {
      if (found.get(path) === identity) continue;
      this.#sockets.delete(path);
      abort.abort();
    }
    for (const [path, identity] of found) {
      if (this.#sockets.has(path)) continue;
      const abort = new AbortController();
      this.#sockets.set(path, { identity, abort });
      this.#owner.run(path, (stop) => this.#follow(path, AbortSignal.any([abort.signal, stop])));
    }
  }

  /** Notes the sockets of a folder and of those in it; what appears later is seen, for each is watched before it is read. */
  #collect(dir: string, into: Collected): void {
    this.#watch(dir);
    into.folders.add(dir);
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      if (entry.name.startsWith(".")) continue;
      const path = join(dir, entry.name);
      if (entry.isSocket()) into.found.set(path, identityOf(path));
      else if (entry.isDirectory() && into.depth < deepest) this.#collectBelow(path, into);
    }
  }

  #collectBelow(dir: string, into: Collected): void {
    try {
      this.#collect(dir, { ...into, depth: into.depth + 1 });
    } catch (error) {
      this.#options.log.debug({ dir, error: messageOf(error) }, "a folder of plugins cannot be read");
    }
  }

  #watch(dir: string): void {
    const identity = identityOf(dir);
    const known = this.#watchers.get(dir);
    if (known?.identity === identity) return;
    known?.watcher.close();
    const watcher = watch(dir, () => {
      if (!this.#owner.signal.aborted) this.#look();
    });
    watcher.on("error", (error) =>
      this.#options.log.error({ dir, error: messageOf(error) }, "plugin folder is not watched any more"),
    );
    this.#watchers.set(dir, { identity, watcher });
  }

  /** From the socket's appearance to its end. */
  async #follow(socket: string, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ initialMs: 50, maxMs: 10_000 });
    const gone = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    while (!signal.aborted) {
      let plugin: RegisteredPlugin;
      try {
        plugin = await this.#register(socket, signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#options.log.debug({ socket, error: messageOf(error) }, "plugin cannot be registered yet");
        await delay(backoff.next(), undefined, { signal }).catch(() => {}); // only an abort ends a delay early
        continue;
      }
      this.#options.log.info({ plugin: plugin.name, type: plugin.type, socket }, "plugin registered");
      await gone;
      if (!this.#owner.signal.aborted) {
        this.#options.log.info({ plugin: plugin.name, socket }, "plugin is gone");
        await this.#options.unregistered?.(plugin);
      }
    }
  }

  async #register(socket: string, signal: AbortSignal): Promise<RegisteredPlugin> {
    using channel = new GrpcChannel({ socket });
    const client = channel.client(Registration);
    const options = { signal, timeoutMs: callTimeoutMs };
    const { type, name, endpoint, supportedVersions } = await client.getInfo({}, options);
    const plugin = { type, name, endpoint: endpoint === "" ? socket : endpoint, supportedVersions, socket };
    try {
      await this.#options.registered(plugin, signal);
    } catch (error) {
      if (this.#options.notify !== false && !signal.aborted)
        await client.notifyRegistrationStatus({ pluginRegistered: false, error: messageOf(error) }, options);
      throw error;
    }
    if (this.#options.notify !== false) {
      try {
        await client.notifyRegistrationStatus({ pluginRegistered: true, error: "" }, options);
      } catch (error) {
        // It is taken up all the same; that it has gone meanwhile is noticed by its socket.
        this.#options.log.debug({ plugin: name, error: messageOf(error) }, "plugin did not hear that it is registered");
      }
    }
    return plugin;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { watcher } of this.#watchers.values()) watcher.close();
    await this.#owner.stop();
  }
}

interface Collected {
  /** Sockets by path, with what tells each from another. */
  readonly found: Map<string, string>;
  readonly folders: Set<string>;
  readonly depth: number;
}

/** What tells a socket (or a folder) from one that replaced it: inode numbers are used again, with another time of birth. */
function identityOf(path: string): string {
  const found = lstatSync(path, { throwIfNoEntry: false, bigint: true });
  return found === undefined ? "gone" : `${found.ino} ${found.birthtimeNs}`;
}

/** Starts following the plugin folder, which is made when absent. */
export const watchPlugins = (dir: string, options: WatchPluginsOptions): PluginWatcher =>
  new PluginWatcher(dir, options);
