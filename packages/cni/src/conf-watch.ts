import { type FSWatcher, mkdirSync, statSync, watch } from "node:fs";
import { join } from "node:path";
import { type Logger, messageOf, TaskOwner, TripodError } from "@tripod/base";
import { readConfDir } from "./conf-dir.ts";
import type { NetworkConfig } from "./network-config.ts";

/** Whether there is a network to attach to, and if not why, naming file and line. */
export type NetworkStatus =
  | { readonly ready: true; readonly network: NetworkConfig }
  | { readonly ready: false; readonly reason: string };

const inode = (path: string): string | undefined => {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
};

/** Follows a configuration folder: reads it again whenever anything in it, or in the network's own folder, changes. */
export class ConfWatch implements AsyncDisposable {
  readonly #dir: string;
  readonly #tasks: TaskOwner;
  readonly #listeners = new Set<(status: NetworkStatus) => void>();
  readonly #watchers = new Map<string, { readonly watcher: FSWatcher; readonly inode: string | undefined }>();
  #status: NetworkStatus = { ready: false, reason: "the network configuration has not been read yet" };
  #reading = false;
  #stale = false;

  constructor(dir: string, log: Logger) {
    this.#dir = dir;
    this.#tasks = new TaskOwner("cni configuration", log);
  }

  get status(): NetworkStatus {
    return this.#status;
  }

  /** Calls back after every change of the status; returns what takes the callback away. */
  onChange(listener: (status: NetworkStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads the folder (made when absent) and starts to follow it. */
  async start(): Promise<void> {
    this.#follow(this.#dir, true);
    await this.#read();
  }

  #follow(dir: string, create: boolean): void {
    const present = inode(dir);
    const followed = this.#watchers.get(dir);
    if (followed !== undefined && followed.inode === present) return;
    followed?.watcher.close();
    this.#watchers.delete(dir);
    if (this.#tasks.signal.aborted) return;
    if (present === undefined) {
      if (!create) return;
      mkdirSync(dir, { recursive: true });
    }
    const watcher = watch(dir, { persistent: false }, () => this.#changed());
    watcher.on("error", () => this.#changed()); // the folder went away: reading it says so
    this.#watchers.set(dir, { watcher, inode: inode(dir) });
  }

  #changed(): void {
    this.#stale = true;
    if (!this.#reading) this.#tasks.run("read the network configuration", () => this.#read());
  }

  /** One reading at a time; what changed meanwhile is read right after. */
  async #read(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    try {
      do {
        this.#stale = false;
        const status = await this.#look();
        if (!this.#tasks.signal.aborted) this.#set(status);
      } while (this.#stale && !this.#tasks.signal.aborted);
    } finally {
      this.#reading = false;
    }
  }

  async #look(): Promise<NetworkStatus> {
    try {
      this.#follow(this.#dir, true);
      const network = await readConfDir(this.#dir);
      const own = join(this.#dir, network.name);
      for (const dir of this.#watchers.keys()) {
        if (dir !== this.#dir && dir !== own) this.#unfollow(dir);
      }
      if (!network.loadOnlyInlinedPlugins) this.#follow(own, false);
      return { ready: true, network };
    } catch (error) {
      const reason = error instanceof TripodError ? error.message : `read ${this.#dir}: ${messageOf(error)}`;
      return { ready: false, reason: `network is not ready: ${reason}` };
    }
  }

  #unfollow(dir: string): void {
    this.#watchers.get(dir)?.watcher.close();
    this.#watchers.delete(dir);
  }

  #set(status: NetworkStatus): void {
    const before = JSON.stringify(this.#status);
    this.#status = status;
    if (JSON.stringify(status) === before) return;
    for (const listener of this.#listeners) listener(status);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks.stop();
    for (const dir of this.#watchers.keys()) this.#unfollow(dir);
  }
}
