import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isNodeError } from "@tripod/base";
import type { AttachmentKey } from "@tripod/cni/sdk";

/** Whose which addresses are. */
export interface Reservation extends AttachmentKey {
  readonly ips: readonly string[];
}

const nameOf = ({ containerId, ifname }: AttachmentKey): string => {
  const name = `${containerId}%${ifname}`; // no container id has a "%" in it
  return name.length <= 200 ? name : createHash("sha256").update(name).digest("hex");
};

/** What a crash may leave in the folder beside entries. */
const temporaryFile = /^[a-z]+\.tmp$/;

/**
 * Finds an attachment's addresses without reading every reservation. Upstream's layout has one file an address and no way from a
 * container to its files but to read them all; here a file a container lists its addresses, in a folder that upstream never
 * looks into. It is a hint that may name too much, never too little: an entry is written before its reservation, and before it is
 * used the reservation itself is read.
 *
 * Whether another program has changed the reservations meanwhile, the modification times say: after each change both folders are
 * stamped with the same whole second of the past, which no later change by anyone leaves standing.
 */
export class ReservationIndex {
  readonly #dir: string;
  readonly #reservations: string;

  /** `reservations`: the folder of the files that are named by address. */
  constructor(dir: string, reservations: string) {
    this.#dir = dir;
    this.#reservations = reservations;
    mkdirSync(dir, { recursive: true, mode: 0o755 });
  }

  get dir(): string {
    return this.#dir;
  }

  /** True when nothing has changed the reservations since stamp(). */
  get current(): boolean {
    const index = statSync(this.#dir, { bigint: true }).mtimeNs;
    return index % 1_000_000_000n === 0n && index === statSync(this.#reservations, { bigint: true }).mtimeNs;
  }

  /** Declares index and reservations to agree; only with the lock held, after the last change. */
  stamp(): void {
    const second = Math.floor(Date.now() / 1000) - 1;
    utimesSync(this.#reservations, second, second);
    utimesSync(this.#dir, second, second);
  }

  get(key: AttachmentKey): Reservation | undefined {
    return this.#read(nameOf(key));
  }

  #read(name: string): Reservation | undefined {
    try {
      return JSON.parse(readFileSync(join(this.#dir, name), "utf8")) as Reservation; // put() below is the only writer
    } catch (error) {
      if (error instanceof SyntaxError) return undefined; // torn by a power cut: the rebuilding that follows replaces it
      if (isNodeError(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  put(reservation: Reservation): void {
    const temporary = join(this.#dir, "entry.tmp");
    writeFileSync(temporary, JSON.stringify(reservation), { mode: 0o600 });
    renameSync(temporary, join(this.#dir, nameOf(reservation)));
  }

  remove(key: AttachmentKey): void {
    rmSync(join(this.#dir, nameOf(key)), { force: true });
  }

  list(): Reservation[] {
    return readdirSync(this.#dir)
      .filter((name) => !temporaryFile.test(name))
      .flatMap((name) => this.#read(name) ?? []);
  }

  /** Forgets everything; what is to stay must be put again before stamp(). */
  clear(): void {
    rmSync(this.#dir, { recursive: true, force: true });
    mkdirSync(this.#dir, { recursive: true, mode: 0o755 });
  }
}
