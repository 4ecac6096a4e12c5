import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { failpoint, type Logger, messageOf, silentLogger, TripodError } from "@tripod/base";
import { EventRing } from "./event-ring.ts";
import { RevisionLog } from "./revision-log.ts";
import type { ListOptions, ListPage, Storage, StorageEvent, StorageWatch, StoredValue } from "./storage.ts";
import { keyOfEvent, WatchHub } from "./watch-hub.ts";

export interface SqliteStorageOptions {
  /** How many past changes are kept for watches that come back and for paged lists; 5,000 unless told. */
  readonly historySize?: number;
  /** How many of them are kept in memory as well; 1,000 unless told. */
  readonly ringSize?: number;
  /** How many events a watcher may lag behind before it fails; 5,000 unless told. */
  readonly watchBacklog?: number;
  /** Told when history cannot be tidied; silent unless told. */
  readonly log?: Logger;
}

/** A write that waits for the next transaction. `apply` runs inside it and throws where the write is refused. */
interface PendingWrite {
  readonly apply: () => StorageEvent;
  readonly done: (event: StorageEvent) => void;
  readonly refused: (error: unknown) => void;
}

/** How many writes share one transaction at most, so that none holds the event loop for long. */
const largestBatch = 64;

/**
 * Storage in one SQLite file (WAL, synchronous=FULL). Writes that come together share a transaction and so one flush of the disk;
 * each is refused or accepted by itself. Watchers are told after the commit.
 */
export class SqliteStorage implements Storage {
  readonly #log: RevisionLog;
  readonly #logger: Logger;
  readonly #ring: EventRing;
  readonly #hub: WatchHub;
  readonly #historySize: number;
  #pending: PendingWrite[] = [];
  #revision: number;
  /** History up to and with this revision is gone. */
  #compacted: number;
  #closed = false;

  private constructor(log: RevisionLog, options: SqliteStorageOptions) {
    this.#log = log;
    this.#logger = options.log ?? silentLogger;
    this.#ring = new EventRing(options.ringSize ?? 1000);
    this.#historySize = options.historySize ?? 5000;
    this.#hub = new WatchHub({ backlog: options.watchBacklog ?? 5000, revision: () => this.#revision });
    this.#revision = log.counter("revision");
    this.#compacted = log.counter("compacted");
  }

  /** Opens or creates the file. "corrupt" when it cannot be read, "failed-precondition" when another process has it open. */
  static open(path: string, options: SqliteStorageOptions = {}): SqliteStorage {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    try {
      return new SqliteStorage(new RevisionLog(path), options);
    } catch (cause) {
      if (/locked|busy/i.test(messageOf(cause)))
        throw new TripodError(
          "failed-precondition",
          `open API storage ${path}: another process uses it; stop that one`,
          {
            cause,
          },
        );
      throw new TripodError(
        "corrupt",
        `open API storage ${path}: ${messageOf(cause)}; restore it from a copy, or move it away to start afresh`,
        { cause },
      );
    }
  }

  async currentRevision(): Promise<number> {
    return this.#revision;
  }

  async get(key: string): Promise<StoredValue | undefined> {
    return this.#log.head(key);
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    const { limit, revision = this.#revision } = options;
    this.#checkRevision(revision);
    const items =
      revision === this.#revision ? this.#log.list(prefix, options) : this.#log.listAt(revision, prefix, options);
    const last = items.at(-1);
    const remaining =
      limit !== undefined && items.length >= limit && last !== undefined ? this.#log.count(prefix, last.key) : 0;
    return { items, revision, remaining };
  }

  async create(key: string, value: string): Promise<StoredValue> {
    const event = await this.#write(() => {
      if (this.#log.head(key) !== undefined)
        throw new TripodError("already-exists", `create ${key}: it is there already`);
      return this.#put(key, value, undefined);
    });
    return currentOf(event);
  }

  async update(key: string, value: string, expected: number): Promise<StoredValue> {
    return currentOf(await this.#write(() => this.#put(key, value, this.#require(key, expected))));
  }

  async delete(key: string, expected: number): Promise<number> {
    const event = await this.#write(() => {
      const previous = this.#require(key, expected);
      const revision = this.#revision + 1;
      this.#log.remove(revision, previous);
      return { type: "delete", revision, previous };
    });
    return event.revision;
  }

  async watch(prefix: string, revision: number): Promise<StorageWatch> {
    this.#checkRevision(revision);
    return this.#hub.add(prefix, this.#past(prefix, revision));
  }

  async compact(revision: number): Promise<void> {
    if (revision > this.#revision)
      throw new TripodError(
        "invalid",
        `compact: revision ${revision} is not reached; the store is at ${this.#revision}`,
      );
    this.#compact(revision);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#pending.length > 0) this.#flush();
    this.#closed = true;
    this.#hub.close();
    this.#log[Symbol.dispose]();
  }

  /** What was written after `revision`, out of memory where possible. */
  #past(prefix: string, revision: number): StorageEvent[] {
    if (revision === this.#revision) return [];
    const recent = this.#ring.since(revision);
    if (recent !== undefined) return recent.filter((event) => keyOfEvent(event).startsWith(prefix));
    return this.#log.changesSince(revision, prefix, -1);
  }

  #checkRevision(revision: number): void {
    if (revision < this.#compacted)
      throw new TripodError("out-of-range", `too old resource version: ${revision} (${this.#compacted})`);
    if (revision > this.#revision)
      throw new TripodError("invalid", `Too large resource version: ${revision}, current: ${this.#revision}`);
  }

  #require(key: string, expected: number): StoredValue {
    const found = this.#log.head(key);
    if (found === undefined) throw new TripodError("not-found", `change ${key}: it is not there`);
    if (found.revision !== expected)
      throw new TripodError("conflict", `change ${key}: it is at revision ${found.revision}, not ${expected}`);
    return found;
  }

  #put(key: string, value: string, previous: StoredValue | undefined): StorageEvent {
    const revision = this.#revision + 1;
    const current = { key, value, createRevision: previous?.createRevision ?? revision, revision };
    this.#log.put(current, previous);
    return { type: "put", revision, current, previous };
  }

  #write(apply: () => StorageEvent): Promise<StorageEvent> {
    return new Promise((done, refused) => {
      if (this.#closed) {
        refused(new TripodError("unavailable", "API storage: it is closed"));
        return;
      }
      this.#pending.push({ apply, done, refused });
      if (this.#pending.length === 1) setImmediate(() => this.#flush());
    });
  }

  /** Commits what waits, as one transaction. */
  #flush(): void {
    if (this.#pending.length === 0 || this.#closed) return;
    const batch = this.#pending.splice(0, largestBatch);
    if (this.#pending.length > 0) setImmediate(() => this.#flush());
    const before = this.#revision;
    const committed: [write: PendingWrite, event: StorageEvent][] = [];
    const refused: [write: PendingWrite, error: unknown][] = [];
    try {
      this.#log.transaction(
        () => {
          for (const write of batch) {
            try {
              const event = write.apply();
              this.#revision = event.revision;
              committed.push([write, event]);
            } catch (error) {
              // A refusal touches nothing; anything else spoils the whole transaction.
              if (!(error instanceof TripodError)) throw error;
              refused.push([write, error]);
            }
          }
          if (committed.length > 0) this.#log.setCounter("revision", this.#revision);
        },
        () => failpoint("apiserver.storage.before-commit"),
      );
    } catch (cause) {
      this.#revision = before;
      const error = new TripodError("unavailable", `write to API storage: ${messageOf(cause)}`, { cause });
      for (const write of batch) write.refused(error);
      return;
    }
    failpoint("apiserver.storage.committed");
    for (const [, event] of committed) {
      this.#ring.push(event);
      this.#hub.publish(event);
    }
    for (const [write, event] of committed) write.done(event);
    for (const [write, error] of refused) write.refused(error);
    this.#tidy();
  }

  /** Forgets the oldest history, in steps, so that not every write pays for it. */
  #tidy(): void {
    if (this.#revision - this.#compacted <= this.#historySize + 200) return;
    try {
      this.#compact(this.#revision - this.#historySize);
    } catch (error) {
      // The writes are safe; the next ones try again.
      this.#logger.warn({ error: messageOf(error) }, "API storage could not tidy its history");
    }
  }

  #compact(revision: number): void {
    if (revision <= this.#compacted) return;
    this.#log.transaction(
      () => {
        this.#log.forget(this.#compacted, revision);
        this.#log.setCounter("compacted", revision);
      },
      () => failpoint("apiserver.storage.compact"),
    );
    this.#compacted = revision;
  }
}

function currentOf(event: StorageEvent): StoredValue {
  if (event.type !== "put") throw new Error("a write of a value gave no value");
  return event.current;
}
