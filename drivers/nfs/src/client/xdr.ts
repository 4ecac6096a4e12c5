import { TripodError } from "@tripod/base";

/** Writes what RPC and NFS send: big-endian words, everything padded to four bytes (RFC 4506). */
export class XdrWriter {
  #bytes: Buffer;
  #length = 0;

  constructor(sizeBytes = 512) {
    this.#bytes = Buffer.allocUnsafe(sizeBytes);
  }

  u32(value: number): this {
    this.#room(4);
    this.#length = this.#bytes.writeUInt32BE(value, this.#length);
    return this;
  }

  u64(value: bigint): this {
    this.#room(8);
    this.#length = this.#bytes.writeBigUInt64BE(BigInt.asUintN(64, value), this.#length);
    return this;
  }

  bool(value: boolean): this {
    return this.u32(value ? 1 : 0);
  }

  /** Bytes of a length that both sides know. */
  fixed(value: Uint8Array): this {
    const padded = Math.ceil(value.byteLength / 4) * 4;
    this.#room(padded);
    this.#bytes.set(value, this.#length);
    this.#bytes.fill(0, this.#length + value.byteLength, this.#length + padded);
    this.#length += padded;
    return this;
  }

  /** Bytes after their length; a string as UTF-8. */
  opaque(value: Uint8Array | string): this {
    const bytes = typeof value === "string" ? Buffer.from(value) : value;
    return this.u32(bytes.byteLength).fixed(bytes);
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #room(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + count));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

/** Reads the same; what a server sends that is too short is a "corrupt" error. */
export class XdrReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  u32(): number {
    return this.#take(4).readUInt32BE(0);
  }

  u64(): bigint {
    return this.#take(8).readBigUInt64BE(0);
  }

  i64(): bigint {
    return this.#take(8).readBigInt64BE(0);
  }

  bool(): boolean {
    return this.u32() !== 0;
  }

  fixed(length: number): Buffer {
    const bytes = this.#take(length);
    this.#take((4 - (length % 4)) % 4);
    return bytes;
  }

  opaque(): Buffer {
    return this.fixed(this.u32());
  }

  words(): number[] {
    const count = this.u32();
    if (count > 64) throw new TripodError("corrupt", `NFS: a list of ${count} words`);
    return Array.from({ length: count }, () => this.u32());
  }

  #take(count: number): Buffer {
    const end = this.#at + count;
    if (end > this.#bytes.length) throw new TripodError("corrupt", `NFS: an answer of ${this.#bytes.length} bytes`);
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}
