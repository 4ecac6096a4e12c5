import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { TripodError } from "./error.ts";

/** One kind of record: JSON values by id. Every call is one transaction, kept when it returns: see RecordsOptions. */
export interface RecordTable<T> {
  get(id: string): T | undefined;
  put(id: string, value: T): void;
  delete(id: string): void;
  entries(): [id: string, value: T][];
}

export interface RecordsOptions {
  /**
   * What a finished call outlives: "power-cut" (unless told; an fsync a call, which takes milliseconds) or "crash", the end of this process
   * only. After a power cut "crash" may have lost the latest calls, never an earlier one alone, and the file is whole.
   */
  readonly survives?: "power-cut" | "crash";
}

/** A folder of record tables in one SQLite file, in WAL mode. */
export class Records implements Disposable {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Opens or creates the file; an unreadable one is a "corrupt" error that names it. */
  static open(path: string, options: RecordsOptions = {}): Records {
    const synchronous = options.survives === "crash" ? "NORMAL" : "FULL";
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    try {
      const database = new DatabaseSync(path);
      database.exec(`PRAGMA journal_mode=WAL; PRAGMA synchronous=${synchronous}; PRAGMA busy_timeout=5000;`);
      return new Records(database);
    } catch (cause) {
      throw new TripodError("corrupt", `open records ${path}: not a readable database; move it away to start afresh`, {
        cause,
      });
    }
  }

  /** The table called `name` ([a-z_]+), made when absent. */
  table<T>(name: string): RecordTable<T> {
    if (!/^[a-z_]+$/.test(name)) throw new TripodError("invalid", `records: bad table name ${JSON.stringify(name)}`);
    this.#database.exec(
      `CREATE TABLE IF NOT EXISTS ${name} (id TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID`,
    );
    const get = this.#database.prepare(`SELECT value FROM ${name} WHERE id = ?`);
    const put = this.#database.prepare(
      `INSERT INTO ${name} VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET value = excluded.value`,
    );
    const remove = this.#database.prepare(`DELETE FROM ${name} WHERE id = ?`);
    const all = this.#database.prepare(`SELECT id, value FROM ${name} ORDER BY id`);
    // The only writer of these rows is put() below, so what is read back has the shape that was written.
    const parse = (row: Record<string, unknown>): T => JSON.parse(String(row.value)) as T;
    return {
      get(id) {
        const row = get.get(id);
        return row === undefined ? undefined : parse(row);
      },
      put(id, value) {
        put.run(id, JSON.stringify(value));
      },
      delete(id) {
        remove.run(id);
      },
      entries: () => all.all().map((row) => [String(row.id), parse(row)]),
    };
  }

  /** Runs `work`, one synchronous step, with the database held against every other writer: all of it is kept, or none. */
  transaction<T>(work: () => T): T {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.#database.exec("COMMIT");
      return result;
    } catch (error) {
      this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
