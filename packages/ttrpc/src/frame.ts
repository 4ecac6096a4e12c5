import { TripodError } from "@tripod/base";

export const frameHeaderBytes = 10;
/** The most that one message may hold; the protocol's own limit. */
export const maxMessageBytes = 4 * 1024 * 1024;

export const messageType = { request: 1, response: 2, data: 3 } as const;
export const flag = { remoteClosed: 1, remoteOpen: 2, noData: 4 } as const;

/** One message of a stream. `data` is "too-large" where its length exceeded the limit: the bytes were thrown away. */
export interface Frame {
  readonly streamId: number;
  readonly type: number;
  readonly flags: number;
  readonly data: Uint8Array | "too-large";
}

/** The bytes of one message: length and stream id (big-endian), type, flags, data. */
export function encodeFrame(frame: Frame & { readonly data: Uint8Array }): Buffer {
  const { data } = frame;
  if (data.length > maxMessageBytes) {
    throw new TripodError("exhausted", `message of ${data.length} bytes: a ttrpc message holds ${maxMessageBytes}`);
  }
  const bytes = Buffer.allocUnsafe(frameHeaderBytes + data.length);
  bytes.writeUInt32BE(data.length, 0);
  bytes.writeUInt32BE(frame.streamId, 4);
  bytes[8] = frame.type;
  bytes[9] = frame.flags;
  bytes.set(data, frameHeaderBytes);
  return bytes;
}

/** Cuts a byte stream into messages; holds one message at most, however it is cut up. */
export class FrameReader {
  readonly #header = Buffer.allocUnsafe(frameHeaderBytes);
  #headerFilled = 0;
  /** Where the message goes; "too-large" while its bytes are thrown away; undefined while the header is incomplete. */
  #data: Buffer | "too-large" | undefined;
  #missing = 0;

  /** The messages that `chunk` completes. Throws "corrupt" on a length that no ttrpc peer sends. */
  *push(chunk: Buffer): Generator<Frame, void, undefined> {
    let at = 0;
    for (;;) {
      if (this.#data === undefined) {
        const copied = chunk.copy(this.#header, this.#headerFilled, at);
        at += copied;
        this.#headerFilled += copied;
        if (this.#headerFilled < frameHeaderBytes) return;
        this.#start();
      }
      const size = Math.min(this.#missing, chunk.length - at);
      if (this.#data instanceof Buffer) chunk.copy(this.#data, this.#data.length - this.#missing, at, at + size);
      at += size;
      this.#missing -= size;
      if (this.#missing > 0 || this.#data === undefined) return;
      const [type = 0, flags = 0] = this.#header.subarray(8);
      const frame = { streamId: this.#header.readUInt32BE(4), type, flags, data: this.#data };
      this.#data = undefined;
      this.#headerFilled = 0;
      yield frame;
    }
  }

  #start(): void {
    const length = this.#header.readUInt32BE(0);
    if (length > 0xff_ffff) {
      throw new TripodError("corrupt", `read a ttrpc message: its header tells of ${length} bytes; this is not ttrpc`);
    }
    this.#missing = length;
    this.#data = length > maxMessageBytes ? "too-large" : Buffer.allocUnsafe(length);
  }
}
