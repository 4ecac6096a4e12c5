import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { isNodeError, messageOf, writeFileAtomicSync } from "@tripod/base";
import { FileLock } from "@tripod/linux";
import type { ClientIdentity, Held } from "./dhcp-client.ts";
import type { InterfacePlace } from "./dhcp-socket.ts";
import type { LeaseTerms } from "./lease-terms.ts";

/** Which attachment a lease is for. */
export interface LeaseKey {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** What is kept of a lease on the disk. */
export interface LeaseRecord extends LeaseKey {
  readonly place: InterfacePlace;
  /** Of the namespace: another one may come to be under its path. */
  readonly netnsIdentity: string;
  readonly identity: ClientIdentity;
  readonly held: Held;
  /** Absent until the server has agreed. */
  readonly bound?: {
    readonly terms: LeaseTerms;
    /** Seconds since the machine's start. */
    readonly at: number;
  };
  /** Why the address is not to be used any longer. */
  readonly lost?: string;
}

const nameOf = ({ network, containerId, ifname }: LeaseKey): string =>
  createHash("sha256").update(`${containerId}/${network}/${ifname}`).digest("hex").slice(0, 32);

/** Where the daemon of this socket keeps its records. */
export const leasesDir = (socketPath: string): string => `${socketPath}.leases`;

/** Taken by whoever keeps the leases of this socket; undefined when another process has it. */
export function lockLeases(socketPath: string): FileLock | undefined {
  mkdirSync(dirname(socketPath), { recursive: true, mode: 0o700 });
  return FileLock.tryAcquire(`${socketPath}.lock`);
}

/** Records of leases, a file each, in a folder that does not outlive the machine's running: the containers do not either. */
export class LeaseStore {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  put(record: LeaseRecord): void {
    writeFileAtomicSync(join(this.#dir, nameOf(record)), JSON.stringify(record), { mode: 0o600 });
  }

  delete(key: LeaseKey): void {
    rmSync(join(this.#dir, nameOf(key)), { force: true });
  }

  get(key: LeaseKey): LeaseRecord | undefined {
    try {
      // put() is the only writer in this folder, and replaces a file whole.
      return JSON.parse(readFileSync(join(this.#dir, nameOf(key)), "utf8")) as LeaseRecord;
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** All of them; `unreadable` is told of what is none, which stays where it is. */
  list(unreadable: (path: string, why: string) => void): readonly LeaseRecord[] {
    const records: LeaseRecord[] = [];
    for (const name of readdirSync(this.#dir)) {
      const path = join(this.#dir, name);
      if (name.endsWith(".tmp")) {
        rmSync(path, { force: true }); // a crash in the middle of put()
        continue;
      }
      try {
        const record = JSON.parse(readFileSync(path, "utf8")) as LeaseRecord; // as above
        if (nameOf(record) !== name) throw new Error("its name is another record's");
        records.push(record);
      } catch (error) {
        unreadable(path, messageOf(error));
      }
    }
    return records;
  }
}
