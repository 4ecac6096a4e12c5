/** A gRPC message is preceded by a flag (compressed) and its length. */
const prefixBytes = 5;

/** Sees the messages in a stream of gRPC's frames go by, each whole, or when it is longer than told only its length. */
export class MessageTap {
  readonly #maxBytes: number;
  readonly #onMessage: (message: Uint8Array | { readonly bytes: number }) => void;
  #prefix = Buffer.alloc(0);
  #kept: Buffer[] = [];
  #length = 0;
  /** What of the message is still to come; undefined while its prefix is. */
  #missing: number | undefined;

  constructor(maxBytes: number, onMessage: (message: Uint8Array | { readonly bytes: number }) => void) {
    this.#maxBytes = maxBytes;
    this.#onMessage = onMessage;
  }

  see(chunk: Buffer): void {
    for (let rest = chunk; rest.length > 0; )
      rest = this.#missing === undefined ? this.#seePrefix(rest) : this.#seeBody(rest, this.#missing);
  }

  #seePrefix(chunk: Buffer): Buffer {
    const wanted = prefixBytes - this.#prefix.length;
    this.#prefix = Buffer.concat([this.#prefix, chunk.subarray(0, wanted)]);
    if (this.#prefix.length < prefixBytes) return chunk.subarray(chunk.length);
    this.#length = this.#prefix.readUInt32BE(1);
    this.#prefix = Buffer.alloc(0);
    this.#missing = this.#length;
    if (this.#length === 0) this.#finish();
    return chunk.subarray(wanted);
  }

  #seeBody(chunk: Buffer, missing: number): Buffer {
    const part = chunk.subarray(0, missing);
    if (this.#length <= this.#maxBytes) this.#kept.push(Buffer.from(part)); // a copy: the chunk is on its way
    this.#missing = missing - part.length;
    if (this.#missing === 0) this.#finish();
    return chunk.subarray(part.length);
  }

  #finish(): void {
    const message = this.#length <= this.#maxBytes ? Buffer.concat(this.#kept) : { bytes: this.#length };
    this.#kept = [];
    this.#missing = undefined;
    this.#onMessage(message);
  }
}
