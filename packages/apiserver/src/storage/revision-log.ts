import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { ListOptions, StorageEvent, StoredValue } from "./storage.ts";

type Row = Record<string, unknown>;

const schema = `
  CREATE TABLE IF NOT EXISTS revisions (
    revision INTEGER PRIMARY KEY, key TEXT NOT NULL, create_revision INTEGER NOT NULL,
    previous_revision INTEGER, value TEXT) STRICT;
  CREATE INDEX IF NOT EXISTS revisions_by_key ON revisions (key, revision);
  CREATE TABLE IF NOT EXISTS heads (key TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT OR IGNORE INTO counters VALUES ('revision', 1), ('compacted', 1);
`;

const columns = "r.revision, r.key, r.create_revision, r.value";

const toValue = (row: Row): StoredValue => ({
  key: String(row.key),
  value: String(row.value),
  createRevision: Number(row.create_revision),
  revision: Number(row.revision),
});

/** The smallest text that sorts after every text with this prefix. */
const afterPrefix = (prefix: string): string => `${prefix}\u{10ffff}`;

/**
 * The tables of the SQLite storage. `revisions` holds every change with its value, null for a deletion; `heads` the row that each key
 * is at now. A value is written once; what it replaces stays until it is compacted.
 */
export class RevisionLog implements Disposable {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    // One process owns the file: the revision counter lives in its memory between commits.
    this.#database.exec(
      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-8192;",
    );
    this.#database.exec(schema);
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  counter(name: "revision" | "compacted"): number {
    return Number(this.#prepare("SELECT n FROM counters WHERE name = ?").get(name)?.n);
  }

  setCounter(name: "revision" | "compacted", value: number): void {
    this.#prepare("UPDATE counters SET n = ? WHERE name = ?").run(value, name);
  }

  /** Runs one synchronous step as a transaction: all of it is on the disk when it returns, or none. */
  transaction<T>(work: () => T, beforeCommit: () => void): T {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      beforeCommit();
      this.#database.exec("COMMIT");
      return result;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  head(key: string): StoredValue | undefined {
    const row = this.#prepare(
      `SELECT ${columns} FROM heads h JOIN revisions r ON r.revision = h.revision WHERE h.key = ?`,
    ).get(key);
    return row === undefined ? undefined : toValue(row);
  }

  put(value: StoredValue, previous: StoredValue | undefined): void {
    this.#append(value.revision, value.key, value.createRevision, previous?.revision ?? null, value.value);
    this.#prepare("INSERT INTO heads VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET revision = excluded.revision").run(
      value.key,
      value.revision,
    );
  }

  remove(revision: number, previous: StoredValue): void {
    this.#append(revision, previous.key, previous.createRevision, previous.revision, null);
    this.#prepare("DELETE FROM heads WHERE key = ?").run(previous.key);
  }

  /** Keys below `prefix` in their order, as they are now. */
  list(prefix: string, { after = prefix, limit = -1 }: ListOptions): StoredValue[] {
    const query = `SELECT ${columns} FROM heads h JOIN revisions r ON r.revision = h.revision
      WHERE h.key > ? AND h.key < ? ORDER BY h.key LIMIT ?`;
    return this.#prepare(query).all(after, afterPrefix(prefix), limit).map(toValue);
  }

  /** As list, as it was at `revision`, which must not be compacted. */
  listAt(revision: number, prefix: string, { after = prefix, limit = -1 }: ListOptions): StoredValue[] {
    const query = `SELECT ${columns} FROM revisions r
      WHERE r.key > :after AND r.key < :end AND r.revision <= :revision AND r.value IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM revisions l WHERE l.key = r.key AND l.revision > r.revision AND l.revision <= :revision)
      ORDER BY r.key LIMIT :limit`;
    return this.#prepare(query)
      .all({ revision, after, end: afterPrefix(prefix), limit })
      .map(toValue);
  }

  count(prefix: string, after: string): number {
    const row = this.#prepare("SELECT count(*) AS n FROM heads WHERE key > ? AND key < ?").get(
      after,
      afterPrefix(prefix),
    );
    return Number(row?.n);
  }

  /** At most `limit` changes below `prefix` after `revision`, in their order. */
  changesSince(revision: number, prefix: string, limit: number): StorageEvent[] {
    const query = `SELECT ${columns}, p.revision AS p_revision, p.value AS p_value
      FROM revisions r LEFT JOIN revisions p ON p.revision = r.previous_revision
      WHERE r.revision > ? AND r.key > ? AND r.key < ? ORDER BY r.revision LIMIT ?`;
    return this.#prepare(query)
      .all(revision, prefix, afterPrefix(prefix), limit)
      .map((row): StorageEvent => {
        const { key, createRevision, revision: at } = toValue(row);
        const previous =
          row.p_revision === null
            ? undefined
            : { key, createRevision, revision: Number(row.p_revision), value: String(row.p_value) };
        if (row.value !== null) return { type: "put", revision: at, current: toValue(row), previous };
        if (previous === undefined) throw new Error(`deletion ${at} of ${key} has lost what it deleted`);
        return { type: "delete", revision: at, previous };
      });
  }

  /** Drops what was replaced or deleted by the changes after `from` up to and with `to`. */
  forget(from: number, to: number): void {
    this.#prepare(
      "DELETE FROM revisions WHERE revision IN (SELECT previous_revision FROM revisions WHERE revision > ? AND revision <= ?)",
    ).run(from, to);
    this.#prepare("DELETE FROM revisions WHERE revision > ? AND revision <= ? AND value IS NULL").run(from, to);
  }

  #append(revision: number, key: string, createRevision: number, previous: number | null, value: string | null): void {
    this.#prepare("INSERT INTO revisions VALUES (?, ?, ?, ?, ?)").run(revision, key, createRevision, previous, value);
  }

  #prepare(query: string): StatementSync {
    const known = this.#statements.get(query);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(query);
    this.#statements.set(query, statement);
    return statement;
  }
}
