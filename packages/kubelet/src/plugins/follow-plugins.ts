import { watch } from "node:fs";
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import type { Node } from "@tripod/api/kubernetes";
import { Backoff, isTripodError, type Logger, messageOf, TaskOwner } from "@tripod/base";
import { abortableDelay } from "@tripod/kube";
import { Wake } from "../pods/wake.ts";
import { entriesOf } from "../volumes/folder-entries.ts";
import type { CsiRegistrar } from "./csi-registrar.ts";
import { type PluginDescription, registerPlugin } from "./register-plugin.ts";

export interface FollowPluginsOptions {
  readonly registrar: CsiRegistrar;
  readonly node: Node;
  readonly pluginsRegistryDir: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** One registration socket as it was seen. */
interface Seen {
  /** Changes when the socket is made anew under the same name. */
  readonly identity: string;
  readonly abort: AbortController;
  plugin: PluginDescription | undefined;
}

/** The sockets in the folder, by path, with what tells one from its successor. */
async function sockets(dir: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const name of await entriesOf(dir)) {
    const entry = await lstat(join(dir, name)).catch(() => undefined);
    if (entry?.isSocket() === true) found.set(join(dir, name), `${entry.dev}:${entry.ino}:${entry.ctimeMs}`);
  }
  return found;
}

/**
 * Registers every plugin whose socket is in the folder, again and again until it worked, and takes it out when the socket goes away. Follows
 * the folder until the signal aborts.
 */
export async function followPlugins(options: FollowPluginsOptions): Promise<void> {
  const { registrar, node, pluginsRegistryDir, log, signal } = options;
  const wake = new Wake();
  const watcher = watch(pluginsRegistryDir, () => wake.call());
  watcher.on("error", (error) => log.error({ error: messageOf(error) }, "the plugin folder is not watched any more"));
  await using tasks = new TaskOwner("plugin registrations", log);
  const seen = new Map<string, Seen>();
  try {
    await ensureCsiNode(registrar, node, log, signal);
    while (!signal.aborted) {
      const present = await sockets(pluginsRegistryDir);
      for (const [path, entry] of seen) {
        if (present.get(path) === entry.identity) continue;
        entry.abort.abort();
        seen.delete(path);
        const { plugin } = entry;
        // A driver that only started again keeps its place: its new socket registers it anew.
        if (plugin !== undefined && !present.has(path))
          tasks.run("unregister", (stop) => registrar.unregister(plugin.name, stop));
      }
      for (const [path, identity] of present) {
        if (seen.has(path)) continue;
        const entry: Seen = { identity, abort: new AbortController(), plugin: undefined };
        seen.set(path, entry);
        tasks.run(`register ${path}`, (stop) =>
          register(path, entry, options, AbortSignal.any([stop, entry.abort.signal])),
        );
      }
      await wake.wait(undefined, signal);
    }
  } finally {
    watcher.close();
  }
}

async function ensureCsiNode(registrar: CsiRegistrar, node: Node, log: Logger, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff({ initialMs: 200, maxMs: 10_000 });
  while (!signal.aborted) {
    try {
      return await registrar.ensureCsiNode(node, signal);
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ error: messageOf(error) }, "the CSINode object is not there yet, trying again");
      await abortableDelay(backoff.next(), signal).catch(() => undefined);
    }
  }
}

async function register(path: string, entry: Seen, options: FollowPluginsOptions, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff({ initialMs: 100, maxMs: 10_000 });
  const { registrar, log } = options;
  while (!signal.aborted) {
    try {
      entry.plugin = await registerPlugin(
        path,
        ({ name, endpoint }) => registrar.register(name, endpoint, signal),
        signal,
      );
      return;
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ socket: path, error: messageOf(error) }, "a plugin was not registered, trying again");
      // A plugin of another type will not change its mind; a new socket is a new plugin.
      if (isTripodError(error, "unimplemented")) return;
      await abortableDelay(backoff.next(), signal).catch(() => undefined);
    }
  }
}
