import { footerBytes, legacyFooterBytes } from "./estargz-names.ts";

const magic = "STARGZ";
/** Of a gzip member with an extra field and nothing else in its header. */
const head = [0x1f, 0x8b, 8, 4];
/** An empty final deflate block, its checksum and length. */
const empty = [0x01, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
const offsetDigits = 16;
const payloadBytes = offsetDigits + magic.length;

/** The footer of a layer whose table of contents begins at byte `tocOffset`. */
export function encodeFooter(tocOffset: number): Buffer {
  const field = Buffer.alloc(6);
  field.writeUInt16LE(4 + payloadBytes, 0);
  field.write("SG", 2, "latin1");
  field.writeUInt16LE(payloadBytes, 4);
  return Buffer.concat([
    Buffer.from([...head, 0, 0, 0, 0, 0, 0xff]),
    field,
    Buffer.from(tocOffset.toString(16).padStart(offsetDigits, "0") + magic),
    Buffer.from(empty),
  ]);
}

/** Where the table of contents begins, by the last bytes of a layer; undefined when they are no footer. */
export function parseFooter(tail: Uint8Array): number | undefined {
  const bytes = Buffer.from(tail.buffer, tail.byteOffset, tail.byteLength);
  return offsetIn(bytes.subarray(-footerBytes), 16) ?? offsetIn(bytes.subarray(-legacyFooterBytes), 12);
}

function offsetIn(footer: Buffer, at: number): number | undefined {
  if (footer.length !== at + payloadBytes + empty.length || !head.every((byte, index) => footer[index] === byte))
    return undefined;
  if (at === 16 && footer.toString("latin1", 12, 14) !== "SG") return undefined;
  const text = footer.toString("latin1", at, at + payloadBytes);
  return /^0{3}[0-9a-f]{13}STARGZ$/.test(text) ? Number.parseInt(text.slice(0, offsetDigits), 16) : undefined;
}
