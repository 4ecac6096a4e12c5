import { TripodError } from "@tripod/base";
import type { ByteString } from "../tar/tar-entry.ts";

/** A byte string for the file system: the very bytes. */
export const bytesOf = (path: ByteString): Buffer => Buffer.from(path, "latin1");

/** A JavaScript string (UTF-8 on the disk) as a byte string. */
export const toByteString = (text: string): ByteString => Buffer.from(text).toString("latin1");

/** A byte string for people: control characters escaped, cut when long. */
export const printable = (path: ByteString): string => JSON.stringify(bytesOf(path).toString().slice(0, 200));

/**
 * The components of a member's name below the root: "./a//b/" and "/a/b" are a, b, as docker reads them. A name whose ".." would
 * climb above the root is refused.
 */
export function componentsOf(name: ByteString): string[] {
  const components: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") components.push(part);
    else if (components.pop() === undefined) {
      throw new TripodError(
        "invalid",
        `layer member ${printable(name)}: name leads out of the root; the layer is refused`,
      );
    }
  }
  return components;
}
