import { Duplex } from "node:stream";
import { TripodError } from "@tripod/base";

const headerBytes = 8;
/** A ttrpc message with its header. */
const maxPayloadBytes = 10 + 4 * 1024 * 1024;
/** The Go peers read through a buffer of this size, into which a message's first part has to fit. */
const firstPartBytes = 4096;

/**
 * Several connections over one: each part is told with its channel's number and length, both 4 bytes, big-endian. The end of a channel, or
 * nonsense on the trunk, ends all of them.
 */
export class Mux {
  readonly #trunk: Duplex;
  readonly #channels = new Map<number, Channel>();
  readonly #header = Buffer.alloc(headerBytes);
  #headerFilled = 0;
  #missing = 0;

  constructor(trunk: Duplex) {
    this.#trunk = trunk;
    trunk.on("data", (chunk: Buffer) => this.#receive(chunk));
    trunk.on("error", () => {}); // "close" follows
    trunk.on("end", () => trunk.destroy());
    trunk.on("close", () => {
      for (const channel of this.#channels.values()) channel.destroy();
    });
  }

  /** The channel of that number; what came for it before it was opened is lost. */
  open(id: number): Duplex {
    const channel = new Channel(this.#trunk, id);
    this.#channels.set(id, channel);
    channel.once("close", () => this.#trunk.destroy());
    if (this.#trunk.destroyed) channel.destroy();
    return channel;
  }

  #receive(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#missing === 0) {
        const copied = chunk.copy(this.#header, this.#headerFilled, at);
        at += copied;
        this.#headerFilled += copied;
        if (this.#headerFilled < headerBytes) return;
        this.#missing = this.#header.readUInt32BE(4);
        this.#headerFilled = 0;
        if (this.#missing > maxPayloadBytes) {
          this.#trunk.destroy(new TripodError("corrupt", `nri: a part of ${this.#missing} bytes: not the protocol`));
          return;
        }
        continue;
      }
      const part = chunk.subarray(at, at + this.#missing);
      at += part.length;
      this.#missing -= part.length;
      if (this.#channels.get(this.#header.readUInt32BE(0))?.push(part) === false) this.#trunk.pause();
    }
  }
}

class Channel extends Duplex {
  readonly #trunk: Duplex;
  readonly #id: number;

  constructor(trunk: Duplex, id: number) {
    super();
    this.#trunk = trunk;
    this.#id = id;
  }

  override _read(): void {
    this.#trunk.resume();
  }

  override _write(message: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const parts: Buffer[] = [];
    const add = (part: Buffer): void => {
      const header = Buffer.alloc(headerBytes);
      header.writeUInt32BE(this.#id, 0);
      header.writeUInt32BE(part.length, 4);
      parts.push(header, part);
    };
    add(message.subarray(0, firstPartBytes));
    if (message.length > firstPartBytes) add(message.subarray(firstPartBytes));
    this.#trunk.write(Buffer.concat(parts), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.push(null);
    done(error);
  }
}
