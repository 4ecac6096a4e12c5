import { TripodError } from "@tripod/base";

/** The field's bytes up to the first NUL, as a byte string. */
export function textField(block: Buffer, start: number, length: number): string {
  const end = block.indexOf(0, start);
  const stop = end === -1 || end > start + length ? start + length : end;
  return block.toString("latin1", start, stop);
}

/** A number field: octal digits, or GNU's base-256 when the top bit is set. */
export function numberField(block: Buffer, start: number, length: number): number {
  const first = block[start] ?? 0;
  if ((first & 0x80) === 0) {
    const text = textField(block, start, length).trim();
    if (text === "") return 0;
    if (!/^[0-7]+$/.test(text)) throw new TripodError("invalid", "tar: a number in a header is not octal");
    return safe(Number.parseInt(text, 8));
  }
  const negative = (first & 0x40) !== 0;
  let value = BigInt(negative ? first | ~0xff : first & 0x7f);
  for (let index = start + 1; index < start + length; index += 1) value = (value << 8n) | BigInt(block[index] ?? 0);
  return safe(Number(value));
}

/** Decimal digits, as PAX records and sparse maps have them. */
export function decimal(text: string, what: string): number {
  if (!/^\d{1,19}$/.test(text)) throw new TripodError("invalid", `tar: ${what} is not a number`);
  return safe(Number(text));
}

function safe(value: number): number {
  if (!Number.isSafeInteger(value)) throw new TripodError("invalid", "tar: a number in a header is too large");
  return value;
}

/** True when the header's checksum holds (POSIX sums unsigned bytes; old tars summed signed ones). */
export function checksumHolds(block: Buffer): boolean {
  let unsigned = 0;
  let signed = 0;
  for (let index = 0; index < 512; index += 1) {
    const byte = index >= 148 && index < 156 ? 0x20 : (block[index] ?? 0);
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  const text = textField(block, 148, 8).trim();
  if (!/^[0-7]+$/.test(text)) return false;
  const claimed = Number.parseInt(text, 8);
  return claimed === unsigned || claimed === signed;
}
