import { TripodError } from "@tripod/base";
import { type Attribute, encodeAttributes } from "./attribute.ts";

export interface LinkMessage {
  readonly family?: number;
  readonly index?: number;
  /** IFF bits to set or clear, of those in `change`. */
  readonly flags?: number;
  readonly change?: number;
  readonly attributes?: readonly Attribute[];
}

/** struct ifinfomsg and its attributes. */
export function encodeLinkMessage(message: LinkMessage): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt8(message.family ?? 0, 0);
  header.writeInt32LE(message.index ?? 0, 4);
  header.writeUInt32LE(message.flags ?? 0, 8);
  header.writeUInt32LE(message.change ?? 0, 12);
  return Buffer.concat([header, encodeAttributes(message.attributes ?? [])]);
}

/** A name that the kernel would take for an interface: 1 to 15 bytes, no slash, colon or white space, not "." or "..". */
export function checkLinkName(name: string): string {
  if (!/^[^\s/:\0]+$/.test(name) || Buffer.byteLength(name) > 15 || name === "." || name === "..") {
    throw new TripodError(
      "invalid",
      `${JSON.stringify(name)} is not an interface name: 1 to 15 bytes without / : or space`,
    );
  }
  return name;
}
