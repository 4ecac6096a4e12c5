import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { AsyncQueue, failpoint, TripodError } from "@tripod/base";
import type { ListOptions, ListPage, Storage, StorageEvent, StorageWatch, StoredValue } from "./storage.ts";

export interface SqliteStorageOptions {
  /** How many past changes are kept for watches that come back; 10,000 unless told. */
  readonly historySize?: number;
  /** How many events a slow watcher may lag behind before its watch fails; 10,000 unless told. */
  readonly watchBacklog?: number;
}

type Row = Record<string, unknown>;

/** The smallest text that sorts after every text with this prefix. */
const after = (prefix: string): string => `${prefix}\u{10ffff}`;

const toValue = (row: Row): StoredValue => ({
  key: String(row.key),
  value: String(row.value),
  createRevision: Number(row.create_revision),
  revision: Number(row.revision),
});

const toEvent = (row: Row): StorageEvent => {
  const key = String(row.key);
  const revision = Number(row.revision);
  const previous =
    row.old_value === null
      ? undefined
      : {
          key,
          value: String(row.old_value),
          createRevision: Number(row.create_revision),
          revision: Number(row.old_revision),
        };
  if (row.value === null && previous !== undefined) return { type: "delete", revision, previous };
  return {
    type: "put",
    revision,
    previous,
    current: { key, value: String(row.value), createRevision: Number(row.create_revision), revision },
  };
};

interface Watcher {
  readonly prefix: string;
  readonly queue: AsyncQueue<StorageEvent>;
}

/**
 * Storage in one SQLite file (WAL, synchronous=FULL): `objects` holds what is, `history` the last changes, numbered by the
 * revision counter that AUTOINCREMENT keeps monotonic also after rows are gone.
 */
export class SqliteStorage implements Storage {
  readonly #database: DatabaseSync;
  readonly #historySize: number;
  readonly #watchBacklog: number;
  readonly #watchers = new Set<Watcher>();
  readonly #statements: Readonly<
    Record<"get" | "list" | "count" | "put" | "remove" | "record" | "since" | "trim", StatementSync>
  >;
  #revision: number;
  /** The last revision whose change is forgotten. */
  #compacted: number;

  private constructor(database: DatabaseSync, options: SqliteStorageOptions) {
    this.#database = database;
    this.#historySize = options.historySize ?? 10_000;
    this.#watchBacklog = options.watchBacklog ?? 10_000;
    database.exec(`
      PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=5000;
      CREATE TABLE IF NOT EXISTS objects (key TEXT PRIMARY KEY, value TEXT NOT NULL, create_revision INTEGER NOT NULL, revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS history (revision INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, value TEXT, create_revision INTEGER NOT NULL, old_value TEXT, old_revision INTEGER) STRICT;
      INSERT INTO history (revision, key, create_revision) SELECT 1, '', 1 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'history');
    `);
    this.#statements = {
      get: database.prepare("SELECT * FROM objects WHERE key = ?"),
      list: database.prepare("SELECT * FROM objects WHERE key > ? AND key < ? ORDER BY key LIMIT ?"),
      count: database.prepare("SELECT count(*) AS n FROM objects WHERE key > ? AND key < ?"),
      put: database.prepare(
        "INSERT INTO objects VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision",
      ),
      remove: database.prepare("DELETE FROM objects WHERE key = ?"),
      record: database.prepare(
        "INSERT INTO history (key, value, create_revision, old_value, old_revision) VALUES (?, ?, ?, ?, ?) RETURNING revision",
      ),
      since: database.prepare("SELECT * FROM history WHERE revision > ? AND key > ? AND key < ? ORDER BY revision"),
      trim: database.prepare("DELETE FROM history WHERE revision <= ?"),
    };
    this.#revision = Number(database.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'history'").get()?.seq);
    this.#compacted = Number(
      database.prepare("SELECT coalesce(min(revision) - 1, ?) AS n FROM history").get(this.#revision)?.n,
    );
  }

  /** Opens or creates the file. */
  static open(path: string, options: SqliteStorageOptions = {}): SqliteStorage {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    try {
      return new SqliteStorage(new DatabaseSync(path), options);
    } catch (cause) {
      throw new TripodError(
        "corrupt",
        `open API storage ${path}: not a readable database; restore it from a copy, or move it away to start afresh`,
        { cause },
      );
    }
  }

  get revision(): number {
    return this.#revision;
  }

  get(key: string): StoredValue | undefined {
    const row = this.#statements.get.get(key);
    return row === undefined ? undefined : toValue(row);
  }

  list(prefix: string, options: ListOptions = {}): ListPage {
    const start = options.after ?? prefix;
    const limit = options.limit ?? -1;
    const items = this.#statements.list.all(start, after(prefix), limit).map(toValue);
    const last = items.at(-1)?.key;
    const remaining =
      limit >= 0 && items.length === limit && last !== undefined
        ? Number(this.#statements.count.get(last, after(prefix))?.n)
        : 0;
    return { items, revision: this.#revision, remaining };
  }

  create(key: string, value: string): StoredValue {
    if (this.get(key) !== undefined) throw new TripodError("already-exists", `create ${key}: it is there already`);
    return this.#put(key, value, undefined);
  }

  update(key: string, value: string, expected: number): StoredValue {
    return this.#put(key, value, this.#require(key, expected));
  }

  delete(key: string, expected: number): number {
    const previous = this.#require(key, expected);
    const revision = this.#commit(() => {
      this.#statements.remove.run(key);
      return this.#record(key, null, previous.createRevision, previous);
    });
    this.#publish({ type: "delete", revision, previous });
    return revision;
  }

  watch(prefix: string, revision: number): StorageWatch {
    if (revision < this.#compacted) {
      throw new TripodError("out-of-range", `too old resource version: ${revision} (${this.#compacted + 1})`);
    }
    const watcher: Watcher = { prefix, queue: new AsyncQueue(this.#watchBacklog) };
    if (revision < this.#revision) {
      for (const row of this.#statements.since.all(revision, prefix, after(prefix))) watcher.queue.push(toEvent(row));
    }
    this.#watchers.add(watcher);
    const close = (): void => {
      this.#watchers.delete(watcher);
      watcher.queue.close();
    };
    return { close, [Symbol.asyncIterator]: () => watcher.queue[Symbol.asyncIterator]() };
  }

  compact(revision: number): void {
    if (revision <= this.#compacted) return;
    this.#statements.trim.run(revision);
    this.#compacted = revision;
  }

  [Symbol.dispose](): void {
    for (const { queue } of this.#watchers) queue.close();
    this.#watchers.clear();
    this.#database.close();
  }

  #require(key: string, expected: number): StoredValue {
    const found = this.get(key);
    if (found === undefined) throw new TripodError("not-found", `change ${key}: it is not there`);
    if (found.revision !== expected)
      throw new TripodError(
        "conflict",
        `change ${key}: revision ${expected} was asked for, ${found.revision} is there; read it again`,
      );
    return found;
  }

  #put(key: string, value: string, previous: StoredValue | undefined): StoredValue {
    const current = this.#commit(() => {
      const revision = this.#record(key, value, previous?.createRevision ?? this.#revision + 1, previous);
      const stored = { key, value, createRevision: previous?.createRevision ?? revision, revision };
      this.#statements.put.run(key, value, stored.createRevision, revision);
      return stored;
    });
    this.#publish({ type: "put", revision: current.revision, current, previous });
    return current;
  }

  #record(key: string, value: string | null, createRevision: number, previous: StoredValue | undefined): number {
    return Number(
      this.#statements.record.get(key, value, createRevision, previous?.value ?? null, previous?.revision ?? null)
        ?.revision,
    );
  }

  /** One transaction; its change is visible to readers only when it is on the disk. */
  #commit<T>(change: () => T): T {
    this.#database.exec("BEGIN IMMEDIATE");
    let result: T;
    try {
      result = change();
      failpoint("apiserver.storage.before-commit");
      this.#database.exec("COMMIT");
    } catch (error) {
      this.#database.exec("ROLLBACK");
      throw error;
    }
    failpoint("apiserver.storage.committed");
    return result;
  }

  #publish(event: StorageEvent): void {
    this.#revision = event.revision;
    const { key } = event.type === "put" ? event.current : event.previous;
    for (const watcher of this.#watchers) {
      if (!key.startsWith(watcher.prefix)) continue;
      watcher.queue.push(event);
      if (watcher.queue.closed) this.#watchers.delete(watcher);
    }
    // Trimmed in steps, so that not every write deletes a row.
    if (event.revision - this.#compacted > this.#historySize * 1.1) this.compact(event.revision - this.#historySize);
  }
}
