import { TripodError } from "@tripod/base";
import { libc } from "../libc.ts";
import { inNetns } from "../namespaces/in-namespaces.ts";
import { offThread } from "../off-thread.ts";
import { whenReadable } from "../when-readable.ts";
import { check, errnoName, isErrno, SystemCallError } from "../system-call-error.ts";
import { decodeMessages, decodeStatus, encodeMessage, NLM_F, NLMSG, type NetlinkMessage } from "./message.ts";

export interface NetlinkRequest {
  /** For errors: "RTM_NEWLINK". */
  readonly name: string;
  /** For errors: what is asked about, e.g. a link's name. */
  readonly object: string;
  readonly type: number;
  /** Beside REQUEST; ACK is added where DUMP is not. */
  readonly flags?: number;
  readonly body: Buffer;
}

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
/** More than the kernel puts into one datagram of a dump (32 KiB). */
const BUFFER_BYTES = 128 * 1024;
const MAX_ATTEMPTS = 16;

/**
 * A netlink socket that is made inside a network namespace and stays bound to it wherever it is used from. The socket keeps the
 * namespace alive until disposed of. Requests are synchronous: the kernel has answered when send(2) returns.
 */
export class NetlinkSocket implements Disposable {
  #fd: number;
  #sequence = 0;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);

  /**
   * `protocol`: NETLINK_ROUTE is 0. Without `netns`: the caller's namespace. `groups`: a mask of those whose messages listen() hears.
   */
  constructor(protocol: number, options: { readonly netns?: string | undefined; readonly groups?: number } = {}) {
    this.#fd = inNetns(options.netns, () =>
      check("socket", "AF_NETLINK", libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)),
    );
    try {
      const address = Buffer.alloc(12);
      address.writeUInt16LE(AF_NETLINK, 0);
      address.writeUInt32LE(options.groups ?? 0, 8);
      check("bind", "netlink socket", libc.bind(this.#fd, address, address.length));
      for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK]) this.#enable(option);
      // A reply that never comes would block this thread for ever; it cannot happen unless the kernel has a fault.
      const timeout = Buffer.alloc(16);
      timeout.writeBigInt64LE(5n, 0);
      check(
        "setsockopt",
        "netlink socket",
        libc.setsockopt(this.#fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length),
      );
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #enable(option: number): void {
    const on = Buffer.from([1, 0, 0, 0]);
    try {
      check("setsockopt", "netlink socket", libc.setsockopt(this.#fd, SOL_NETLINK, option, on, on.length));
    } catch (error) {
      // Each came with a kernel between 4.12 and 4.20; without it replies carry less, and are parsed all the same.
      if (!isErrno(error, "ENOPROTOOPT")) throw error;
    }
  }

  /**
   * Sends a request and returns the replies to it: of a dump all objects, else usually none. Throws a SystemCallError with the
   * kernel's text. A dump that raced with a change, or overran the buffer, is taken again.
   */
  request(request: NetlinkRequest): NetlinkMessage[] {
    if (this.#fd < 0) throw new TripodError("failed-precondition", `${request.name}: the netlink socket is closed`);
    const dump = ((request.flags ?? 0) & NLM_F.DUMP) === NLM_F.DUMP && isRead(request.type);
    for (let attempt = 1; ; attempt += 1) {
      const outcome = this.#exchange(request, dump);
      if (outcome !== "again") return outcome;
      if (attempt === MAX_ATTEMPTS) {
        throw new TripodError(
          "unavailable",
          `${request.name} ${request.object}: kept changing while it was being read`,
        );
      }
    }
  }

  /**
   * As request(), for a change that keeps the kernel busy for milliseconds: it is sent from another thread. Nothing else may be asked
   * of this socket until it has resolved.
   */
  async requestOffThread(request: NetlinkRequest): Promise<NetlinkMessage[]> {
    if (this.#fd < 0) throw new TripodError("failed-precondition", `${request.name}: the netlink socket is closed`);
    const encoded = this.#encode(request, false);
    const sent = await offThread(libc.send, this.#fd, encoded, encoded.length, 0);
    if (sent < 0) throw new TripodError("unavailable", `${request.name} ${request.object}: could not be sent`);
    const replies = this.#collect(request, false);
    return replies === "again" ? [] : replies;
  }

  /** Calls `heard` with what the kernel tells the socket's groups, until disposed of. What overran the buffer is not told. */
  listen(heard: (message: NetlinkMessage) => void): Disposable {
    return whenReadable(this.#fd, () => {
      const length = libc.recv(this.#fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT);
      if (length > 0) for (const message of decodeMessages(this.#buffer.subarray(0, length))) heard(message);
    });
  }

  #exchange(request: NetlinkRequest, dump: boolean): NetlinkMessage[] | "again" {
    const encoded = this.#encode(request, dump);
    check(request.name, request.object, libc.send(this.#fd, encoded, encoded.length, 0));
    return this.#collect(request, dump);
  }

  #encode(request: NetlinkRequest, dump: boolean): Buffer {
    this.#sequence = (this.#sequence + 1) >>> 0 || 1;
    const flags = NLM_F.REQUEST | (request.flags ?? 0) | (dump ? 0 : NLM_F.ACK);
    return encodeMessage({ type: request.type, flags, sequence: this.#sequence, body: request.body });
  }

  #collect(request: NetlinkRequest, dump: boolean): NetlinkMessage[] | "again" {
    const sequence = this.#sequence;
    const replies: NetlinkMessage[] = [];
    let interrupted = false;
    for (;;) {
      const datagram = this.#receive(request, dump);
      if (datagram === "overrun") return "again";
      for (const message of decodeMessages(datagram)) {
        // A late reply to a request that was given up after an overrun.
        if (message.sequence !== sequence) continue;
        if ((message.flags & NLM_F.DUMP_INTR) !== 0) interrupted = true;
        if (message.type === NLMSG.ERROR || message.type === NLMSG.DONE) {
          const { errno, text } = decodeStatus(message);
          if (errno !== 0) throw new SystemCallError(request.name, request.object, errnoName(errno), text);
          return interrupted ? "again" : replies;
        }
        if (message.type !== NLMSG.NOOP && message.type !== NLMSG.OVERRUN) {
          replies.push({ ...message, body: Buffer.from(message.body) });
        }
      }
    }
  }

  #receive(request: NetlinkRequest, dump: boolean): Buffer | "overrun" {
    for (;;) {
      try {
        const length = check(
          request.name,
          request.object,
          libc.recv(this.#fd, this.#buffer, this.#buffer.length, MSG_TRUNC),
        );
        if (length > this.#buffer.length) {
          throw new TripodError("corrupt", `${request.name} ${request.object}: a reply of ${length} bytes`);
        }
        return this.#buffer.subarray(0, length);
      } catch (error) {
        if (isErrno(error, "EINTR")) continue;
        // Reading again is harmless; whether a change was made is unknown, so its caller must know.
        if (isErrno(error, "ENOBUFS") && dump) return "overrun";
        throw error;
      }
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) libc.close(this.#fd);
    this.#fd = -1;
  }
}

/** rtnetlink numbers its messages NEW, DEL, GET, SET by fours; the flag bits of DUMP mean something else on NEW. */
const isRead = (type: number): boolean => (type & 3) === 2;
