import { type AttachmentKey, CniError, cniCodes, isJsonObject } from "@tripod/cni/sdk";
import type { LeaseKey } from "./lease-store.ts";
import type { LeaseRequest } from "./lease-keeper.ts";
import type { LeaseTerms } from "./lease-terms.ts";

/** What a plugin asks the daemon: one line of JSON, answered by one line. */
export type Question =
  | { readonly ask: "acquire"; readonly request: LeaseRequest }
  | { readonly ask: "release" | "check"; readonly key: LeaseKey }
  | { readonly ask: "collect"; readonly network: string; readonly valid: readonly AttachmentKey[] }
  | { readonly ask: "status" };

export type Answer =
  | { readonly terms?: LeaseTerms }
  | { readonly error: { readonly cniCode: number; readonly message: string } };

/** A line is no longer than this, but for the list of valid attachments of a large node. */
export const maxLineBytes = 4 * 1024 * 1024;

/** Reads a line; undefined for what is no object. */
export function parseLine(line: string): object | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined; // the caller says what came instead
  }
}

export const tooLong = (): CniError =>
  new CniError(cniCodes.decoding, `DHCP daemon: a message is longer than ${maxLineBytes} bytes`);
