import koffi from "koffi";
import { libc } from "./libc.ts";
import { inNetns } from "./namespaces/in-namespaces.ts";
import { check, isErrno } from "./system-call-error.ts";
import { whenReadable } from "./when-readable.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const MSG_DONTWAIT = 0x40;
/** No frame of the interfaces here is larger. */
const BUFFER_BYTES = 64 * 1024;
/** Frames that are read in one turn of the event loop. */
const BATCH = 32;

koffi.struct("sock_fprog", { len: "uint16", filter: "void *" });
// koffi's functions are untyped; the parameters are setsockopt(2)'s.
const attachFilter = koffi
  .load(null)
  .func("setsockopt", "int", ["int", "int", "int", "sock_fprog *", "uint"]) as unknown as (
  fd: number,
  level: number,
  option: number,
  program: { len: number; filter: Uint8Array },
  length: number,
) => number;
/** sizeof(struct sock_fprog) with its padding. */
const FPROG_BYTES = 16;

/** One instruction of classic BPF: code, jumps if true and if false, operand (linux/filter.h, struct sock_filter). */
export type BpfInstruction = readonly [code: number, jt: number, jf: number, k: number];

export interface PacketSocketOptions {
  /** Path of the interface's namespace; the caller's own unless told. */
  readonly netns?: string | undefined;
  /** The interface's index there. */
  readonly index: number;
  /** Frames of this EtherType alone: 0x0800 is IPv4. */
  readonly etherType: number;
  /** Run by the kernel on each frame from its Ethernet header on: what it returns 0 for is not heard. */
  readonly filter: readonly BpfInstruction[];
}

/** Whole Ethernet frames of one interface, in and out, whatever addresses it has: packet(7). The socket stays where it was made. */
export class PacketSocket implements Disposable {
  #fd: number;

  constructor({ netns, index, etherType, filter }: PacketSocketOptions) {
    const flags = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
    // Of protocol 0 it hears nothing until it is bound: no frame comes in before the filter.
    this.#fd = inNetns(netns, () => check("socket", "AF_PACKET", libc.socket(AF_PACKET, flags, 0)));
    try {
      const program = Buffer.alloc(filter.length * 8);
      for (const [at, [code, jt, jf, k]] of filter.entries()) {
        program.writeUInt16LE(code, at * 8);
        program.writeUInt8(jt, at * 8 + 2);
        program.writeUInt8(jf, at * 8 + 3);
        program.writeUInt32LE(k, at * 8 + 4);
      }
      const attached = { len: filter.length, filter: program };
      check(
        "setsockopt",
        "SO_ATTACH_FILTER",
        attachFilter(this.#fd, SOL_SOCKET, SO_ATTACH_FILTER, attached, FPROG_BYTES),
      );
      // struct sockaddr_ll: family, protocol (in network order), index.
      const address = Buffer.alloc(20);
      address.writeUInt16LE(AF_PACKET, 0);
      address.writeUInt16BE(etherType, 2);
      address.writeInt32LE(index, 4);
      check("bind", `interface ${index}`, libc.bind(this.#fd, address, address.length));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Sends a frame that begins with its Ethernet header. */
  send(frame: Uint8Array): void {
    check("send", "a frame", libc.send(this.#fd, frame, frame.length, MSG_DONTWAIT));
  }

  /** Calls `heard` with each frame until disposed of; `failed` once, with what ends that (the interface is gone: ENETDOWN). */
  listen(heard: (frame: Buffer) => void, failed: (error: unknown) => void): Disposable {
    const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
    let open = true;
    const receive = (): Buffer | undefined => {
      try {
        const length = check("recv", "a frame", libc.recv(this.#fd, buffer, buffer.length, MSG_DONTWAIT));
        return Buffer.from(buffer.subarray(0, length));
      } catch (error) {
        if (isErrno(error, "EAGAIN", "EWOULDBLOCK", "EINTR")) return undefined;
        open = false;
        failed(error);
        return undefined;
      }
    };
    const poll = whenReadable(this.#fd, () => {
      for (let count = 0; open && count < BATCH; count += 1) {
        const frame = receive();
        if (frame === undefined) break;
        heard(frame);
      }
      if (!open) poll[Symbol.dispose]();
    });
    return {
      [Symbol.dispose]() {
        open = false;
        poll[Symbol.dispose]();
      },
    };
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) libc.close(this.#fd);
    this.#fd = -1;
  }
}
