import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { DiskReserve } from "./disk-reserve.ts";
import { codeOf, TripodError } from "./error.ts";

/** One kind of record: JSON values by id. Every call is one transaction, kept when it returns: see RecordsOptions. */
export interface RecordTable<T> {
  get(id: string): T | undefined;
  put(id: string, value: T): void;
  /** Works on a full disk as well, a few times: room is kept for it. */
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
  readonly #path: string;
  readonly #reserve: DiskReserve;

  private constructor(database: DatabaseSync, path: string) {
    this.#database = database;
    this.#path = path;
    this.#reserve = new DiskReserve(`${path}.reserve`);
    this.#reserve.hold();
  }

  /** Opens or creates the file; an unreadable one is a "corrupt" error that names it. */
  static open(path: string, options: RecordsOptions = {}): Records {
    const synchronous = options.survives === "crash" ? "NORMAL" : "FULL";
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    try {
      const database = new DatabaseSync(path, { timeout: 5000 }); // also for the change to WAL: others may be opening it, too
      database.exec(`PRAGMA journal_mode=WAL; PRAGMA synchronous=${synchronous};`);
      return new Records(database, path);
    } catch (cause) {
      if (codeOf(cause) === "exhausted")
        throw new TripodError("exhausted", `open records ${path}: its disk is full; make room there`, { cause });
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
    const write = (work: () => unknown): void => {
      this.#write(work);
      if (!this.#database.isTransaction) this.#reserve.hold();
    };
    const free = (work: () => unknown): void => {
      // Within a transaction it is the whole of it that is repeated.
      if (this.#database.isTransaction) this.#write(work);
      else this.#reserve.spend(() => this.#write(work));
    };
    return {
      get(id) {
        const row = get.get(id);
        return row === undefined ? undefined : parse(row);
      },
      put(id, value) {
        write(() => put.run(id, JSON.stringify(value)));
      },
      delete(id) {
        free(() => remove.run(id));
      },
      entries: () => all.all().map((row) => [String(row.id), parse(row)]),
    };
  }

  /** A full disk is an "exhausted" error that names the file; nothing of the call is kept then. */
  #write(work: () => unknown): void {
    try {
      work();
    } catch (cause) {
      if (codeOf(cause) !== "exhausted") throw cause;
      throw new TripodError("exhausted", `write records ${this.#path}: its disk is full; make room there`, { cause });
    }
  }

  /**
   * Runs `work`, one synchronous step, with the database held against every other writer: all of it is kept, or none. On a full disk it is
   * run a second time.
   */
  transaction<T>(work: () => T): T {
    return this.#reserve.spend(() => this.#transaction(work));
  }

  #transaction<T>(work: () => T): T {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.#write(() => this.#database.exec("COMMIT"));
      return result;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK"); // a full disk has ended it already
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
