import { uptime } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { failpoint, isTripodError, KeyedMutex, type Logger, messageOf } from "@tripod/base";
import { type AttachmentKey, CniError, cniCodes } from "@tripod/cni/sdk";
import { namespaceIdentity, openRtnetlink } from "@tripod/linux";
import { type ClientIdentity, DhcpClient, type Granted, type Patience, type Refusal } from "./dhcp-client.ts";
import { options } from "./dhcp-message.ts";
import type { InterfacePlace } from "./dhcp-socket.ts";
import { aboutLease, giveBack, interfaceStands } from "./give-back.ts";
import { type LeaseKey, type LeaseRecord, LeaseStore } from "./lease-store.ts";
import type { LeaseTerms } from "./lease-terms.ts";

export interface LeaseRequest extends LeaseKey {
  readonly netns: string;
  readonly provide: ClientIdentity["provide"];
  readonly request: ClientIdentity["request"];
}

export interface LeaseKeeperOptions {
  /** The folder of the records. */
  readonly dir: string;
  readonly log: Logger;
  readonly patience: Patience;
  /** See ClientIdentity. */
  readonly broadcast: boolean;
  /** Put before every namespace's path: where the host's root is in this process's own file system. */
  readonly hostPrefix: string;
}

/** The longest wait that a timer can have; longer ones are waited for in parts. */
const longestMs = 2 ** 31 - 1;
/** How long an attempt to renew listens for an answer. */
const listenMs = 10_000;
/** Between two attempts to renew: half of what is left, and no less than this (RFC 2131, 4.4.5), but for short leases. */
const leastPauseS = 60;

const keyOf = ({ network, containerId, ifname }: LeaseKey): string => `${containerId}/${network}/${ifname}`;

/** Option 61: type 0 (no hardware address) and upstream's own text, so that servers know the container again. */
const clientIdOf = (key: LeaseKey): string =>
  Buffer.from(`\0${keyOf(key)}`)
    .subarray(0, 255)
    .toString("hex");

interface Lease {
  record: LeaseRecord;
  readonly stop: AbortController;
}

/**
 * Gets leases, renews them and gives them back. Every lease is on the disk before a server can have it for us, so that a new keeper in the same
 * folder goes on where one that was killed has been; stopping gives nothing back.
 */
export class LeaseKeeper implements AsyncDisposable {
  readonly #options: LeaseKeeperOptions;
  readonly #log: Logger;
  readonly #store: LeaseStore;
  readonly #leases = new Map<string, Lease>();
  readonly #oneByOne = new KeyedMutex();
  readonly #keeping = new Set<Promise<void>>();

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#store = new LeaseStore(options.dir);
    const unreadable = (path: string, why: string): void =>
      this.#log.error({ path, why }, "a lease's record cannot be read; it is left alone");
    for (const record of this.#store.list(unreadable)) this.#keep(record);
  }

  /** "already-exists" when the attachment has a lease. An abort leaves no lease of which nobody knows: release() gives it back. */
  acquire(request: LeaseRequest, signal: AbortSignal): Promise<LeaseTerms> {
    return this.#oneByOne.run(keyOf(request), async () => {
      const known = this.#leases.get(keyOf(request))?.record;
      if (known?.bound !== undefined)
        throw new CniError(
          cniCodes.internal,
          `dhcp: ${request.ifname} of ${request.containerId} holds ${known.bound.terms.address} already; DEL it first`,
        );
      const { network, containerId, ifname } = request;
      const place: InterfacePlace = { netns: `${this.#options.hostPrefix}${request.netns}`, ifname };
      const identity: ClientIdentity = {
        clientId: clientIdOf(request),
        provide: request.provide.filter(([code]) => code !== options.clientIdentifier),
        request: request.request,
        broadcast: this.#options.broadcast,
      };
      const netnsIdentity = namespaceIdentity(place.netns);
      const record = { network, containerId, ifname, place, netnsIdentity, identity };
      using client = new DhcpClient(place, identity);
      const { terms, held } = await client.acquire(this.#options.patience, signal, (chosen) => {
        this.#put({ ...record, held: chosen });
        failpoint("dhcp.lease.chosen");
      });
      failpoint("dhcp.lease.acknowledged");
      const bound: LeaseRecord = { ...record, held, bound: { terms, at: uptime() } };
      this.#put(bound);
      failpoint("dhcp.lease.recorded");
      this.#keep(bound);
      this.#log.info({ ...aboutLease(bound), seconds: terms.seconds ?? "for ever" }, "lease acquired");
      return terms;
    });
  }

  /** Tells the server, where the interface still stands, and forgets the lease. Nothing to do is fine. */
  release(key: LeaseKey): Promise<void> {
    return this.#oneByOne.run(keyOf(key), async () => {
      const lease = this.#leases.get(keyOf(key));
      if (lease === undefined) return;
      lease.stop.abort();
      const { record } = lease;
      giveBack(record, this.#log);
      failpoint("dhcp.lease.released");
      this.#forget(record);
    });
  }

  /** Throws CNI code 3 unless the attachment holds an address that it may use. */
  check(key: LeaseKey): LeaseTerms {
    const record = this.#leases.get(keyOf(key))?.record;
    const what = `dhcp: ${key.ifname} of ${key.containerId}`;
    if (record?.bound === undefined)
      throw new CniError(cniCodes.unknownContainer, `${what} has no lease; DEL and ADD it again`);
    if (record.lost === undefined) return record.bound.terms;
    throw new CniError(
      cniCodes.unknownContainer,
      `${what} has lost ${record.bound.terms.address}: ${record.lost}; DEL and ADD it again`,
    );
  }

  /** Releases the network's leases of all but the valid attachments. */
  async collect(network: string, valid: readonly AttachmentKey[]): Promise<void> {
    const kept = new Set(valid.map((attachment) => keyOf({ ...attachment, network })));
    const stale = [...this.#leases.values()].filter(
      ({ record }) => record.network === network && !kept.has(keyOf(record)),
    );
    await Promise.all(stale.map(({ record }) => this.release(record)));
  }

  #put(record: LeaseRecord): void {
    this.#store.put(record);
    const known = this.#leases.get(keyOf(record));
    if (known === undefined) this.#leases.set(keyOf(record), { record, stop: new AbortController() });
    else known.record = record;
  }

  #forget(record: LeaseRecord): void {
    this.#store.delete(record);
    this.#leases.delete(keyOf(record));
  }

  /** Sees to it that the lease goes on, from now until it is released or lost. */
  #keep(record: LeaseRecord): void {
    const lease = this.#leases.get(keyOf(record)) ?? { record, stop: new AbortController() };
    this.#leases.set(keyOf(record), lease);
    if (record.lost !== undefined) setDown(record); // a keeper before this one may have come no further
    if (record.bound?.terms.seconds === undefined || record.lost !== undefined) return;
    const { signal } = lease.stop;
    const keeping = this.#renewForEver(lease, signal).catch((error: unknown) => {
      if (!signal.aborted)
        this.#log.error({ ...aboutLease(lease.record), error: messageOf(error) }, "the lease is not kept");
    });
    this.#keeping.add(keeping);
    void keeping.then(() => this.#keeping.delete(keeping));
  }

  async #renewForEver(lease: Lease, signal: AbortSignal): Promise<void> {
    for (;;) {
      const { record } = lease;
      const { bound } = record;
      if (bound?.terms.seconds === undefined) return;
      const { terms, at } = bound;
      await until(at + terms.renewAfter, signal);
      const outcome = await this.#extend(
        record,
        { rebindAt: at + terms.rebindAfter, endAt: at + bound.terms.seconds },
        signal,
      );
      if (outcome === "gone") {
        this.#log.info(aboutLease(record), "the interface is gone; its lease is left to end");
        this.#forget(record);
        return;
      }
      if ("refused" in outcome) return this.#lose(record, outcome.refused);
      const extended = { ...record, held: outcome.held, bound: { terms: outcome.terms, at: uptime() } };
      if (outcome.terms.address !== terms.address)
        return this.#lose(record, `the server gave ${outcome.terms.address} instead`);
      this.#put(extended);
      failpoint("dhcp.lease.extended");
      this.#log.debug(aboutLease(record), "lease extended");
    }
  }

  /** Asks the server until `rebindAt`, and from then on any, for more time; at `endAt` it is too late. */
  async #extend(
    record: LeaseRecord,
    { rebindAt, endAt }: { readonly rebindAt: number; readonly endAt: number },
    signal: AbortSignal,
  ): Promise<Granted | Refusal | "gone"> {
    let problem = "no server extended it in time";
    const least = Math.min(leastPauseS, (endAt - rebindAt) / 4);
    for (let now = uptime(); now < endAt; now = uptime()) {
      if (!interfaceStands(record)) return "gone";
      const anyone = now >= rebindAt;
      const left = (anyone ? endAt : rebindAt) - now;
      const pauseS = Math.min(left, Math.max(left / 2, least));
      const begun = uptime();
      try {
        using client = new DhcpClient(record.place, record.identity);
        const ms = Math.min(listenMs, pauseS * 1000);
        const outcome = await client.extend(record.held, { anyone, ms, signal });
        if (outcome !== undefined) return outcome;
      } catch (error) {
        if (signal.aborted) throw error;
        problem = messageOf(error); // such as a network that is down for a while
        this.#log.warn({ ...aboutLease(record), error: problem }, "asking for more time failed");
      }
      await until(begun + pauseS, signal);
    }
    return { refused: problem };
  }

  /** The address is somebody else's, or will be: it must not be used any longer (RFC 2131, 4.4.5). */
  #lose(record: LeaseRecord, why: string): void {
    this.#put({ ...record, lost: why });
    failpoint("dhcp.lease.lost");
    setDown(record);
    this.#log.error({ ...aboutLease(record), why }, "lease lost; the interface is set down");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { stop } of this.#leases.values()) stop.abort();
    await Promise.all(this.#keeping);
  }
}

function setDown(record: LeaseRecord): void {
  if (!interfaceStands(record)) return;
  try {
    using there = openRtnetlink({ netns: record.place.netns });
    there.linkSet(record.place.ifname, { up: false });
  } catch (error) {
    if (!isTripodError(error, "not-found")) throw error; // it went in between
  }
}

/** Waits until so many seconds since the machine's start. */
async function until(seconds: number, signal: AbortSignal): Promise<void> {
  for (let left = seconds - uptime(); left > 0; left = seconds - uptime())
    await delay(Math.min(left * 1000 + 1, longestMs), undefined, { signal });
  signal.throwIfAborted();
}
