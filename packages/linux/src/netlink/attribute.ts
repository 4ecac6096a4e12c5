import { TripodError } from "@tripod/base";

/** One type-length-value of a netlink message (struct nlattr). Numbers are little-endian: the package runs on x86-64 and arm64. */
export interface Attribute {
  /** Without the NESTED and NET_BYTEORDER bits when decoded. */
  readonly type: number;
  readonly value: Buffer;
}

const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
const HEADER = 4;
const MAX_LENGTH = 0xffff;

const align = (length: number): number => (length + 3) & ~3;

const number = (type: number, size: 1 | 2 | 4, value: number): Attribute => {
  const buffer = Buffer.alloc(size);
  buffer.writeUIntLE(value, 0, size);
  return { type, value: buffer };
};

export const u8 = (type: number, value: number): Attribute => number(type, 1, value);
export const u16 = (type: number, value: number): Attribute => number(type, 2, value);
export const u32 = (type: number, value: number): Attribute => number(type, 4, value >>> 0);
/** A big-endian u16, as port numbers and VLAN protocols are. */
export const be16 = (type: number, value: number): Attribute => number(type, 2, ((value & 0xff) << 8) | (value >> 8));
export const flag = (type: number, value: boolean): Attribute => u8(type, value ? 1 : 0);
export const text = (type: number, value: string): Attribute => ({ type, value: Buffer.from(`${value}\0`) });
export const bytes = (type: number, value: Uint8Array): Attribute => ({ type, value: Buffer.from(value) });
export const nested = (type: number, attributes: readonly Attribute[]): Attribute => ({
  type: type | NLA_F_NESTED,
  value: encodeAttributes(attributes),
});

/** A list of the attributes that are there: `when(mtu, (mtu) => u32(IFLA.MTU, mtu))`. */
export const when = <T>(value: T | undefined, make: (value: T) => Attribute): Attribute[] =>
  value === undefined ? [] : [make(value)];

export function encodeAttributes(attributes: readonly Attribute[]): Buffer {
  const total = attributes.reduce((sum, { value }) => sum + align(HEADER + value.length), 0);
  const buffer = Buffer.alloc(total);
  let offset = 0;
  for (const { type, value } of attributes) {
    const length = HEADER + value.length;
    if (length > MAX_LENGTH)
      throw new TripodError("invalid", `netlink attribute ${type}: ${value.length} bytes is too long`);
    buffer.writeUInt16LE(length, offset);
    buffer.writeUInt16LE(type, offset + 2);
    value.copy(buffer, offset + HEADER);
    offset += align(length);
  }
  return buffer;
}

/** Reads attributes up to the end of `buffer`; one that does not fit is a "corrupt" error. */
export function decodeAttributes(buffer: Buffer): Attribute[] {
  const attributes: Attribute[] = [];
  for (let offset = 0; offset + HEADER <= buffer.length; ) {
    const length = buffer.readUInt16LE(offset);
    if (length < HEADER || offset + length > buffer.length) {
      throw new TripodError(
        "corrupt",
        `netlink attribute at ${offset}: length ${length} does not fit into ${buffer.length} bytes`,
      );
    }
    attributes.push({
      type: buffer.readUInt16LE(offset + 2) & NLA_TYPE_MASK,
      value: buffer.subarray(offset + HEADER, offset + length),
    });
    offset += align(length);
  }
  return attributes;
}

/** Attributes by type; of several with the same type the last counts, as in the kernel's own parser. */
export class AttributeMap {
  readonly #values = new Map<number, Buffer>();

  constructor(buffer: Buffer) {
    for (const { type, value } of decodeAttributes(buffer)) this.#values.set(type, value);
  }

  bytes(type: number): Buffer | undefined {
    return this.#values.get(type);
  }

  #sized(type: number, size: number): Buffer | undefined {
    const value = this.#values.get(type);
    if (value !== undefined && value.length < size) {
      throw new TripodError("corrupt", `netlink attribute ${type}: ${value.length} bytes where ${size} are due`);
    }
    return value;
  }

  u8(type: number): number | undefined {
    return this.#sized(type, 1)?.readUInt8(0);
  }

  u16(type: number): number | undefined {
    return this.#sized(type, 2)?.readUInt16LE(0);
  }

  be16(type: number): number | undefined {
    return this.#sized(type, 2)?.readUInt16BE(0);
  }

  u32(type: number): number | undefined {
    return this.#sized(type, 4)?.readUInt32LE(0);
  }

  flag(type: number): boolean | undefined {
    const value = this.u8(type);
    return value === undefined ? undefined : value !== 0;
  }

  text(type: number): string | undefined {
    const value = this.#values.get(type);
    if (value === undefined) return undefined;
    const end = value.indexOf(0);
    return value.toString("utf8", 0, end < 0 ? value.length : end);
  }

  nested(type: number): AttributeMap | undefined {
    const value = this.#values.get(type);
    return value === undefined ? undefined : new AttributeMap(value);
  }
}
