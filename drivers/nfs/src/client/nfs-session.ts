import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { randomHex, TripodError } from "@tripod/base";
import { FuseError } from "@tripod/linux";
import { CHANGING, ERRNO, MINOR_VERSION, OP, SESSION_GONE, STATUS } from "./nfs-numbers.ts";
import { type Credential, RpcClient, type RpcOptions } from "./rpc-client.ts";
import { type XdrReader, XdrWriter } from "./xdr.ts";

/** One operation of a compound: its arguments, and how its results are read. */
export interface Operation<T = void> {
  readonly op: number;
  readonly write?: (to: XdrWriter) => void;
  readonly read?: (from: XdrReader) => T;
}

/** What a compound gives: the results of its operations, in their order. */
type Results<O extends readonly Operation<unknown>[]> = {
  -readonly [K in keyof O]: O[K] extends Operation<infer T> ? T : never;
};

interface Slot {
  readonly id: number;
  sequence: number;
}

interface Session {
  readonly id: Buffer;
  readonly slots: number;
  readonly free: Slot[];
  /** Calls that wait for a slot; undefined says that the session is gone. */
  readonly waiting: ((slot: Slot | undefined) => void)[];
}

const root: Credential = { uid: 0, gid: 0, groups: [] };
const wantedSlots = 32;
/** Data of one READ or WRITE, and the compound around it. */
export const MAX_DATA_BYTES = 1 << 20;
const maxMessageBytes = MAX_DATA_BYTES + 4096;
const delayMs = 200;

/**
 * A session with an NFS 4.1 server. The server remembers each slot's last answer, so that a call which is sent again over a new connection is
 * done once; a server that was restarted gets a new session. No state of ours lives there but this, so there is nothing to reclaim.
 */
export class NfsSession implements AsyncDisposable {
  readonly #rpc: RpcClient;
  readonly #owner = `tripod ${hostname()} ${randomHex(16)}`;
  readonly #verifier = randomBytes(8);
  readonly #patienceMs: number | undefined;
  #session: Promise<Session> | undefined;
  clientId = 0n;

  constructor(options: RpcOptions) {
    this.#rpc = new RpcClient(options);
    this.#patienceMs = options.patienceMs;
  }

  /** Does the operations one after another; the first that fails is thrown as a FuseError, with the errno that its status stands for. */
  async compound<const O extends readonly Operation<unknown>[]>(
    credential: Credential,
    operations: O,
  ): Promise<Results<O>> {
    const since = Date.now();
    for (;;) {
      this.#session ??= this.#begin();
      const current = this.#session;
      let session: Session;
      try {
        session = await current;
      } catch (error) {
        if (this.#session === current) this.#session = undefined;
        throw error;
      }
      const slot =
        session.free.pop() ?? (await new Promise<Slot | undefined>((resolve) => session.waiting.push(resolve)));
      if (slot === undefined) continue;
      let outcome: Outcome<O>;
      try {
        outcome = await this.#try(credential, { session, slot, operations });
      } catch (error) {
        // Whether the server has seen the slot's number is unknown, so the session is not used any more.
        this.#forget(current, session);
        throw error;
      }
      const next = session.waiting.shift();
      if (next === undefined) session.free.push(slot);
      else next(slot);
      if (outcome.kind === "done") return outcome.results;
      if (outcome.kind === "failed")
        throw new FuseError(ERRNO.get(outcome.status) ?? "EIO", `NFS status ${outcome.status}`);
      if (outcome.kind === "session-gone") {
        this.#forget(current, session);
        continue;
      }
      if (this.#patienceMs !== undefined && Date.now() - since > this.#patienceMs) throw new FuseError("EIO");
      await sleep(delayMs);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const session = await this.#session?.catch(() => undefined);
    if (session !== undefined) {
      const gone = this.#call(root, [{ op: OP.DESTROY_SESSION, write: (to) => void to.fixed(session.id) }])
        .then(() => this.#call(root, [{ op: OP.DESTROY_CLIENTID, write: (to) => void to.u64(this.clientId) }]))
        .catch(() => undefined);
      await Promise.race([gone, sleep(1000, undefined, { ref: false })]);
    }
    this.#rpc[Symbol.dispose]();
  }

  #forget(current: Promise<Session>, session: Session): void {
    if (this.#session === current) this.#session = undefined;
    for (const waiting of session.waiting.splice(0)) waiting(undefined);
  }

  async #try<const O extends readonly Operation<unknown>[]>(
    credential: Credential,
    { session, slot, operations }: { session: Session; slot: Slot; operations: O },
  ): Promise<Outcome<O>> {
    const remember = operations.some(({ op }) => CHANGING.has(op)); // what only reads is asked for again instead
    const sequence: Operation = {
      op: OP.SEQUENCE,
      write: (to) => {
        to.fixed(session.id)
          .u32((slot.sequence + 1) >>> 0)
          .u32(slot.id)
          .u32(session.slots - 1)
          .bool(remember);
      },
      read: (from) => {
        from.fixed(16);
        for (let word = 0; word < 5; word += 1) from.u32();
      },
    };
    const { status, done, results } = await this.#call(credential, [sequence, ...operations]);
    if (done > 0 || status === STATUS.OK) slot.sequence = (slot.sequence + 1) >>> 0;
    // results has one entry for each operation, read by its own reader
    if (status === STATUS.OK) return { kind: "done", results: results.slice(1) as Results<O> };
    if (done === 0 && status !== STATUS.DELAY) return { kind: "session-gone" };
    if (SESSION_GONE.has(status)) return { kind: "session-gone" };
    return status === STATUS.DELAY || status === STATUS.GRACE ? { kind: "later" } : { kind: "failed", status };
  }

  /** One COMPOUND, whatever becomes of it: its status, how many operations were done, and their results. */
  async #call(credential: Credential, operations: readonly Operation<unknown>[]) {
    const to = new XdrWriter().opaque("").u32(MINOR_VERSION).u32(operations.length);
    for (const { op, write } of operations) {
      to.u32(op);
      write?.(to);
    }
    const from = await this.#rpc.call(credential, to.bytes);
    const status = from.u32();
    from.opaque();
    const count = from.u32();
    const results: unknown[] = [];
    for (const { op, read } of operations.slice(0, count)) {
      if (from.u32() !== op) throw new TripodError("corrupt", `NFS: an answer to another operation than ${op}`);
      if (from.u32() !== STATUS.OK) break;
      results.push(read?.(from));
    }
    return { status, done: results.length, results };
  }

  async #begin(): Promise<Session> {
    for (;;) {
      const begun = await this.#tryBegin();
      if (begun !== undefined) return begun;
      await sleep(delayMs);
    }
  }

  /** Undefined when the server asks for patience. */
  async #tryBegin(): Promise<Session | undefined> {
    const exchange: Operation<number> = {
      op: OP.EXCHANGE_ID,
      write: (to) => void to.fixed(this.#verifier).opaque(this.#owner).u32(0).u32(0).u32(0),
      read: (from) => {
        this.clientId = from.u64();
        return from.u32();
      },
    };
    const first = await this.#call(root, [exchange]);
    if (first.status !== STATUS.OK) return this.#refused("EXCHANGE_ID", first.status);
    const sequence = first.results[0] as number; // its reader's
    const create: Operation<{ id: Buffer; slots: number }> = {
      op: OP.CREATE_SESSION,
      write: (to) => {
        to.u64(this.clientId).u32(sequence).u32(0);
        to.u32(0).u32(maxMessageBytes).u32(maxMessageBytes).u32(4096).u32(16).u32(wantedSlots).u32(0);
        to.u32(0).u32(4096).u32(4096).u32(0).u32(2).u32(1).u32(0); // for calls of the server, of which we want none
        to.u32(0).u32(1).u32(0);
      },
      read: (from) => {
        const id = Buffer.from(from.fixed(16));
        for (let word = 0; word < 7; word += 1) from.u32(); // sequence, flags, then padding, sizes and operations
        return { id, slots: Math.max(1, Math.min(wantedSlots, from.u32())) };
      },
    };
    const second = await this.#call(root, [create]);
    if (second.status !== STATUS.OK) return this.#refused("CREATE_SESSION", second.status);
    const { id, slots } = second.results[0] as { id: Buffer; slots: number }; // its reader's
    const free = Array.from({ length: slots }, (_, index) => ({ id: index, sequence: 0 })).toReversed();
    const session = { id, slots, free, waiting: [] };
    const slot = free.pop();
    if (slot !== undefined) {
      const complete: Operation = { op: OP.RECLAIM_COMPLETE, write: (to) => void to.bool(false) };
      await this.#try(root, { session, slot, operations: [complete] });
      free.push(slot);
    }
    return session;
  }

  #refused(operation: string, status: number): undefined {
    if (status === STATUS.DELAY || status === STATUS.GRACE || SESSION_GONE.has(status)) return undefined;
    const why = status === 10021 ? "it does not speak NFS 4.1" : `NFS status ${status}`;
    throw new TripodError("unavailable", `begin an NFS session: the server refuses ${operation}: ${why}`);
  }
}

type Outcome<O extends readonly Operation<unknown>[]> =
  | { readonly kind: "done"; readonly results: Results<O> }
  /** What was called is not done: it is called again, of a new session or after a while. */
  | { readonly kind: "session-gone" }
  | { readonly kind: "later" }
  | { readonly kind: "failed"; readonly status: number };
