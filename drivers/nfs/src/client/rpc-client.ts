import { randomInt } from "node:crypto";
import { connect, type Socket } from "node:net";
import { isNodeError, TripodError } from "@tripod/base";
import { NFS_PROGRAM, NFS_VERSION } from "./nfs-numbers.ts";
import { XdrReader, XdrWriter } from "./xdr.ts";

/** Whose call it is (AUTH_SYS). */
export interface Credential {
  readonly uid: number;
  readonly gid: number;
  /** Further groups, of which the protocol carries 16. */
  readonly groups: readonly number[];
}

export interface RpcOptions {
  readonly host: string;
  readonly port: number;
  /** How long a call is tried again while the server does not answer, then it is "unavailable"; for ever unless told. */
  readonly patienceMs?: number;
}

interface PendingCall {
  readonly message: Buffer;
  readonly resolve: (reply: XdrReader) => void;
  readonly reject: (error: Error) => void;
}

const authSys = 1;
const maxGroups = 16;
const lastFragment = 0x80000000;
/** Larger than any answer to what we ask. */
const maxReplyBytes = 4 << 20;
const retryMs = 250;
/** A server that has not answered for so long is called on a new connection: the old one may be dead without a word. */
const silentMs = 30_000;

/** Calls of one NFS server over TCP. A connection that breaks is made again, and what waits for an answer is sent again under its number. */
export class RpcClient implements Disposable {
  readonly #options: RpcOptions;
  readonly #pending = new Map<number, PendingCall>();
  #socket: Socket | undefined;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #xid = randomInt(2 ** 31);
  #open = true;

  constructor(options: RpcOptions) {
    this.#options = options;
  }

  /** Procedure 1, COMPOUND, with its arguments; its results. */
  call(credential: Credential, body: Uint8Array): Promise<XdrReader> {
    if (!this.#open) throw new TripodError("unavailable", `call ${this.#options.host}: the client is closed`);
    this.#xid = (this.#xid + 1) >>> 0;
    const xid = this.#xid;
    const { promise, resolve, reject } = Promise.withResolvers<XdrReader>();
    const { patienceMs } = this.#options;
    const timer = patienceMs === undefined ? undefined : setTimeout(() => this.#giveUp(xid), patienceMs);
    const call = { message: messageOf(xid, credential, body), resolve, reject };
    this.#pending.set(xid, call);
    if (this.#socket === undefined) this.#connect();
    else if (!this.#socket.connecting) this.#socket.write(call.message);
    return promise.finally(() => clearTimeout(timer));
  }

  [Symbol.dispose](): void {
    this.#open = false;
    clearTimeout(this.#timer);
    this.#socket?.destroy();
    for (const { reject } of this.#pending.values())
      reject(new TripodError("unavailable", `call ${this.#options.host}: the client is closed`));
    this.#pending.clear();
  }

  #giveUp(xid: number): void {
    const { host, patienceMs } = this.#options;
    const message = `call NFS server ${host}: no answer in ${patienceMs} ms`;
    this.#pending.get(xid)?.reject(new TripodError("unavailable", message));
    this.#pending.delete(xid);
  }

  #connect(): void {
    const { host, port } = this.#options;
    // Servers take calls of ports that only root can have ("secure" in exports(5)).
    const socket = connect({ host, port, localPort: randomInt(665, 1024), noDelay: true, keepAlive: true });
    this.#socket = socket;
    this.#received = [];
    this.#receivedBytes = 0;
    socket.setTimeout(silentMs, () => {
      if (this.#pending.size > 0) socket.destroy();
    });
    socket.on("connect", () => {
      for (const { message } of this.#pending.values()) socket.write(message);
    });
    socket.on("data", (bytes: Buffer) => this.#receive(socket, bytes));
    let portTaken = false;
    socket.on("error", (error) => {
      portTaken = isNodeError(error, "EADDRINUSE", "EADDRNOTAVAIL");
    });
    socket.on("close", () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      if (!this.#open || this.#pending.size === 0) return;
      this.#timer = setTimeout(
        () => {
          if (this.#socket === undefined && this.#open) this.#connect();
        },
        portTaken ? 1 : retryMs,
      );
    });
  }

  #receive(socket: Socket, bytes: Buffer): void {
    this.#received.push(bytes);
    this.#receivedBytes += bytes.length;
    while (this.#receivedBytes >= 4) {
      const first = this.#received[0];
      if (first === undefined || first.length < 4) this.#received = [Buffer.concat(this.#received)];
      const length = (this.#received[0]?.readUInt32BE(0) ?? 0) & ~lastFragment;
      if (length > maxReplyBytes || ((this.#received[0]?.readUInt32BE(0) ?? 0) & lastFragment) === 0) {
        socket.destroy(); // nobody's NFS server, or one that splits its records
        return;
      }
      if (this.#receivedBytes < 4 + length) return;
      const whole = Buffer.concat(this.#received);
      const rest = whole.subarray(4 + length);
      this.#received = rest.length > 0 ? [rest] : [];
      this.#receivedBytes = rest.length;
      this.#answer(whole.subarray(4, 4 + length));
    }
  }

  #answer(record: Buffer): void {
    const reader = new XdrReader(record);
    let call: PendingCall | undefined;
    try {
      const xid = reader.u32();
      call = this.#pending.get(xid);
      this.#pending.delete(xid);
      if (reader.u32() !== 1) throw new TripodError("corrupt", "NFS: a call where an answer belongs");
      if (reader.u32() !== 0)
        throw new TripodError("permission-denied", `call ${this.#options.host}: the server refuses our credentials`);
      reader.u32();
      reader.opaque(); // the verifier, of which AUTH_SYS has none
      const accepted = reader.u32();
      if (accepted !== 0)
        throw new TripodError("unimplemented", `call ${this.#options.host}: no NFS 4 there (RPC status ${accepted})`);
      call?.resolve(reader);
    } catch (error) {
      call?.reject(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

function messageOf(xid: number, { uid, gid, groups }: Credential, body: Uint8Array): Buffer {
  const sent = groups.slice(0, maxGroups);
  const credential = new XdrWriter().u32(0).opaque("tripod").u32(uid).u32(gid).u32(sent.length);
  for (const group of sent) credential.u32(group);
  const head = new XdrWriter().u32(0).u32(xid).u32(0).u32(2).u32(NFS_PROGRAM).u32(NFS_VERSION).u32(1);
  head.u32(authSys).opaque(credential.bytes).u32(0).u32(0);
  const message = Buffer.concat([head.bytes, body]);
  message.writeUInt32BE((lastFragment + message.length - 4) >>> 0, 0);
  return message;
}
