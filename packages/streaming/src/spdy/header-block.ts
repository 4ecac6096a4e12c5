import { TripodError } from "@tripod/base";

/** Headers of a SPDY frame: lower-case names; several values of one name are joined by NUL on the wire. */
export type SpdyHeaders = ReadonlyMap<string, string>;

/** The most headers in one block. */
const maxHeaders = 256;

/** The name-value block of `headers`, not compressed: a 32-bit count, then name and value, each after its 32-bit length. */
export function encodeHeaderBlock(headers: Iterable<readonly [string, string]>): Buffer {
  const parts: Buffer[] = [];
  let count = 0;
  const add = (text: string): void => {
    const bytes = Buffer.from(text, "utf8");
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    parts.push(length, bytes);
  };
  for (const [name, value] of headers) {
    add(name.toLowerCase());
    add(value);
    count += 1;
  }
  const head = Buffer.alloc(4);
  head.writeUInt32BE(count);
  return Buffer.concat([head, ...parts]);
}

/** Reads a block that encodeHeaderBlock (or any peer) wrote. Lengths that point outside, names twice and odd bytes are "invalid". */
export function parseHeaderBlock(block: Buffer): SpdyHeaders {
  let offset = 0;
  const number = (): number => {
    if (offset + 4 > block.length)
      throw new TripodError("invalid", "spdy: header block ends in the middle of a length");
    const value = block.readUInt32BE(offset);
    offset += 4;
    return value;
  };
  const text = (): string => {
    const length = number();
    if (length > block.length - offset)
      throw new TripodError(
        "invalid",
        `spdy: header block says ${length} bytes where ${block.length - offset} are left`,
      );
    offset += length;
    return block.toString("utf8", offset - length, offset);
  };
  const count = number();
  if (count > maxHeaders)
    throw new TripodError("invalid", `spdy: header block of ${count} headers; at most ${maxHeaders} are read`);
  const headers = new Map<string, string>();
  for (let index = 0; index < count; index += 1) {
    const name = text().toLowerCase();
    if (name === "" || headers.has(name))
      throw new TripodError("invalid", `spdy: header ${JSON.stringify(name)} is empty or there twice`);
    headers.set(name, text());
  }
  if (offset !== block.length)
    throw new TripodError("invalid", `spdy: ${block.length - offset} bytes after the last header of a block`);
  return headers;
}
