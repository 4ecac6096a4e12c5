import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { failpoint, isNodeError } from "@tripod/base";
import { type AttachmentKey, type Ip, tryParseIp, withFileLock } from "@tripod/cni/sdk";
import { type Reservation, ReservationIndex } from "./reservation-index.ts";

/** Between container id and interface name in a reservation; upstream's own. */
const separator = "\r\n";
const lastPrefix = "last_reserved_ip.";

/** Reads a reservation's content; upstream's of old have no interface name, and one cut off by a crash is empty. */
function parseOwner(text: string): AttachmentKey | undefined {
  const [containerId = "", ifname = ""] = text.trim().split(separator);
  return containerId === "" ? undefined : { containerId, ifname };
}

/**
 * The reservations of one network in upstream host-local's layout: a file an address whose content is container id and interface
 * name, `last_reserved_ip.N` for each set of ranges, and a `lock` that every program takes with flock(2). Nothing is flushed to
 * the disk: reservations matter only as long as the containers, which do not outlive a power cut; what such a cut tears is thrown
 * away when it is found.
 */
export class ReservationStore {
  readonly #dir: string;
  readonly #index: ReservationIndex;

  private constructor(dir: string, index: ReservationIndex) {
    this.#dir = dir;
    this.#index = index;
  }

  /** Runs `work` as the only program in the world that looks at or changes this network's reservations. */
  static async locked<T>(
    where: { readonly dataDir: string; readonly network: string; readonly signal: AbortSignal },
    work: (store: ReservationStore) => Promise<T>,
  ): Promise<T> {
    const dir = join(where.dataDir, where.network);
    mkdirSync(dir, { recursive: true, mode: 0o755 });
    return withFileLock(join(dir, "lock"), { signal: where.signal }, async () => {
      // No network's name starts with a dot.
      const index = new ReservationIndex(join(where.dataDir, ".tripod-index", where.network), dir);
      const store = new ReservationStore(dir, index);
      if (!index.current) await store.#rebuild();
      try {
        return await work(store);
      } finally {
        if (!store.#torn) index.stamp();
      }
    });
  }

  /** Set while a change is half done, so that a failure in it leads to a rebuilding. */
  #torn = false;

  #change(work: () => void): void {
    this.#torn = true;
    work();
    this.#torn = false;
  }

  /** Reads every reservation: another program has been here, or a crash. Empty ones, which nobody owns, go (upstream #498). */
  async #rebuild(): Promise<void> {
    const found = new Map<string, Reservation & { readonly ips: string[] }>();
    const names = await this.taken();
    for (const batch of batches([...names], 64)) {
      await Promise.all(
        batch.map(async (ip) => {
          const owner = parseOwner(await readFile(join(this.#dir, ip), "utf8"));
          if (owner === undefined) return rmSync(join(this.#dir, ip), { force: true });
          const key = `${owner.containerId}/${owner.ifname}`;
          const known = found.get(key);
          if (known === undefined) found.set(key, { ...owner, ips: [ip] });
          else known.ips.push(ip);
        }),
      );
    }
    this.#change(() => {
      this.#index.clear();
      for (const reservation of found.values()) this.#index.put(reservation);
    });
  }

  /** Every address that is reserved. */
  async taken(): Promise<ReadonlySet<string>> {
    return new Set((await readdir(this.#dir)).filter((name) => tryParseIp(name) !== undefined));
  }

  isTaken(ip: string): boolean {
    return existsSync(join(this.#dir, ip));
  }

  #owner(ip: string): AttachmentKey | undefined {
    try {
      return parseOwner(readFileSync(join(this.#dir, ip), "utf8"));
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** The addresses of an attachment, also such as upstream's host-local of old reserved without an interface's name. */
  addressesOf(key: AttachmentKey): readonly string[] {
    const own = this.#verified(key);
    return own.length > 0 ? own : this.#verified({ containerId: key.containerId, ifname: "" });
  }

  #verified(key: AttachmentKey): readonly string[] {
    const hinted = this.#index.get(key)?.ips ?? [];
    return hinted.filter((ip) => {
      const owner = this.#owner(ip);
      return owner?.containerId === key.containerId && owner.ifname === key.ifname;
    });
  }

  /** False when the address is somebody's. After true it is the attachment's, whatever happens next. */
  reserve(ip: string, key: AttachmentKey): boolean {
    if (this.isTaken(ip)) return false;
    let reserved = false;
    this.#change(() => {
      this.#index.put({ ...key, ips: [...(this.#index.get(key)?.ips ?? []), ip] });
      failpoint("host-local.reserve.indexed");
      const temporary = join(this.#index.dir, "reservation.tmp");
      writeFileSync(temporary, `${key.containerId}${separator}${key.ifname}`, { mode: 0o600 });
      try {
        linkSync(temporary, join(this.#dir, ip));
        reserved = true;
      } catch (error) {
        if (!isNodeError(error, "EEXIST")) throw error;
      }
      rmSync(temporary, { force: true });
      failpoint("host-local.reserve.linked");
    });
    return reserved;
  }

  /** Gives back what is the attachment's, and says what that was. */
  release(key: AttachmentKey): readonly string[] {
    const ips = this.addressesOf(key);
    this.#change(() => {
      for (const ip of ips) {
        rmSync(join(this.#dir, ip), { force: true });
        failpoint("host-local.release.unlinked");
      }
      this.#index.remove(key);
      this.#index.remove({ containerId: key.containerId, ifname: "" });
    });
    return ips;
  }

  /** Every attachment that holds an address. */
  owners(): readonly Reservation[] {
    return this.#index.list();
  }

  lastReserved(set: number): Ip | undefined {
    try {
      return tryParseIp(readFileSync(join(this.#dir, `${lastPrefix}${set}`), "utf8").trim());
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  rememberLast(set: number, ip: string): void {
    this.#change(() => {
      const temporary = join(this.#index.dir, "last.tmp");
      writeFileSync(temporary, ip, { mode: 0o600 });
      const path = join(this.#dir, `${lastPrefix}${set}`);
      rmSync(path, { force: true }); // to take the place of a file, ext4 would first write the new one to the disk
      renameSync(temporary, path);
    });
  }
}

function* batches<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}
