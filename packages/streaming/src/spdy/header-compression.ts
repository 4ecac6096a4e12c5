import { createInflate, type Inflate } from "node:zlib";
import { TripodError } from "@tripod/base";
import { headerDictionary } from "./header-dictionary.ts";

/** The longest header block after decompression. */
const maxBlockBytes = 64 * 1024;

function adler32(bytes: Uint8Array): number {
  let low = 1;
  let high = 0;
  for (const byte of bytes) {
    low = (low + byte) % 65521;
    high = (high + low) % 65521;
  }
  return high * 65536 + low;
}

/** How a zlib stream with a preset dictionary begins (RFC 1950): method and flags, then the dictionary's checksum. */
const streamStart = Buffer.alloc(6);
streamStart.writeUInt16BE(0x78bb, 0);
streamStart.writeUInt32BE(adler32(headerDictionary), 2);

/** The most bytes in a stored block of deflate (RFC 1951, section 3.2.4). */
const maxStoredBytes = 0xffff;

function storedBlock(data: Buffer): Buffer {
  const head = Buffer.alloc(5); // not the final block, kind "stored"
  head.writeUInt16LE(data.length, 1);
  head.writeUInt16LE(~data.length & 0xffff, 3);
  return Buffer.concat([head, data]);
}

/**
 * The sending half of a connection's header compression. All blocks of one direction form one zlib stream; this one is written in stored
 * (uncompressed) blocks, which every inflater reads and which needs neither state nor a thread: our blocks are tens of bytes long.
 */
export class HeaderDeflater {
  #started = false;

  encode(block: Buffer): Buffer {
    const parts: Buffer[] = this.#started ? [] : [streamStart];
    this.#started = true;
    for (let offset = 0; offset < block.length; offset += maxStoredBytes)
      parts.push(storedBlock(block.subarray(offset, offset + maxStoredBytes)));
    // An empty block, as a flush makes one: Go's inflater hands out what it has only when it meets it.
    parts.push(storedBlock(Buffer.alloc(0)));
    return Buffer.concat(parts);
  }
}

/** The receiving half: inflates the blocks of one direction in the order in which they came. */
export class HeaderInflater {
  readonly #inflate: Inflate = createInflate({ dictionary: headerDictionary, chunkSize: 4096 });
  #output: Buffer[] = [];
  #size = 0;
  #reject: ((error: TripodError) => void) | undefined;

  constructor() {
    const fail = (why: string) => (): void => {
      this.#inflate.destroy();
      this.#reject?.(new TripodError("invalid", `spdy: header block ${why}`));
    };
    this.#inflate.on("data", (chunk: Buffer) => {
      this.#size += chunk.length;
      if (this.#size > maxBlockBytes) fail(`grows beyond ${maxBlockBytes} bytes`)();
      else this.#output.push(chunk);
    });
    this.#inflate.on("error", fail("is not zlib data of this connection"));
    this.#inflate.on("end", fail("ends the compressed stream"));
  }

  /** The block behind `compressed`; one call at a time. "invalid" when it is malformed or grows beyond 64 KiB. */
  async decode(compressed: Buffer): Promise<Buffer> {
    this.#output = [];
    this.#size = 0;
    await new Promise<void>((resolve, reject) => {
      this.#reject = reject;
      if (this.#inflate.destroyed) reject(new TripodError("invalid", "spdy: header block after a malformed one"));
      else
        this.#inflate.write(compressed, (error) => {
          if (error === null || error === undefined) resolve();
        });
    });
    return Buffer.concat(this.#output);
  }

  close(): void {
    this.#inflate.destroy();
    this.#reject?.(new TripodError("cancelled", "spdy: connection closed while a header block was read"));
  }
}
