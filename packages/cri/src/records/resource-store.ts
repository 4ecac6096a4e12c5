import { codeOf, type RecordTable, TripodError } from "@tripod/base";

/** What every stored resource has: an id of 64 hex digits and a name that no other of its kind has at the same time. */
export interface Resource {
  readonly id: string;
  /** Unique among the kept ones: what the caller's metadata says, joined. */
  readonly name: string;
}

/** The resources of one kind: in memory for reading, in a record table from before anything in the world follows from them. */
export class ResourceStore<T extends Resource> {
  readonly #kind: string;
  readonly #table: RecordTable<T>;
  readonly #byId = new Map<string, T>();
  readonly #byName = new Map<string, string>();

  constructor(kind: string, table: RecordTable<T>) {
    this.#kind = kind;
    this.#table = table;
    for (const [, record] of table.entries()) this.#remember(record);
  }

  #remember(record: T): void {
    this.#byId.set(record.id, record);
    this.#byName.set(record.name, record.id);
  }

  list(): T[] {
    return [...this.#byId.values()];
  }

  /** By id, or by the only id that starts with `idOrPrefix`; several are an "invalid" error. */
  find(idOrPrefix: string): T | undefined {
    const exact = this.#byId.get(idOrPrefix);
    if (exact !== undefined || idOrPrefix === "") return exact;
    const matches = this.list().filter((record) => record.id.startsWith(idOrPrefix));
    if (matches.length > 1)
      throw new TripodError("invalid", `${this.#kind} ${idOrPrefix}: ${matches.length} ids start like that`);
    return matches[0];
  }

  /** As find(); none is a "not-found" error. */
  get(idOrPrefix: string): T {
    const found = this.find(idOrPrefix);
    if (found === undefined)
      throw new TripodError("not-found", `${this.#kind} ${JSON.stringify(idOrPrefix)}: there is none`);
    return found;
  }

  findByName(name: string): T | undefined {
    const id = this.#byName.get(name);
    return id === undefined ? undefined : this.#byId.get(id);
  }

  /** On the disk when it returns. */
  put(record: T): void {
    this.#table.put(record.id, record);
    this.#remember(record);
  }

  /**
   * As put(), for a step towards the end of the resource: what it records can be found again without it, and a full disk must not keep
   * anybody from removing what fills it.
   */
  putIfRoom(record: T): void {
    try {
      this.put(record);
    } catch (error) {
      if (codeOf(error) !== "exhausted") throw error;
      this.#remember(record);
    }
  }

  /** Changes what can be read from the kernel again after a crash, without a write to the disk. */
  putInMemory(record: T): void {
    this.#remember(record);
  }

  delete(id: string): void {
    this.#table.delete(id);
    const record = this.#byId.get(id);
    this.#byId.delete(id);
    if (record !== undefined && this.#byName.get(record.name) === id) this.#byName.delete(record.name);
  }
}
