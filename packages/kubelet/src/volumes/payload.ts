import type { KeyToPath } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";

/** One file of a volume that is written from objects of the API. */
export interface PayloadFile {
  readonly data: Uint8Array;
  /** Permission bits. */
  readonly mode: number;
  /** Its owner; root unless told. */
  readonly uid?: number;
}

/** The files of a volume by path relative to its root. */
export type Payload = ReadonlyMap<string, PayloadFile>;

/** Refuses a path that would leave the volume or collide with the volume's own names. */
export function checkPayloadPath(path: string): void {
  const parts = path.split("/");
  const why =
    path === "" || path.startsWith("/")
      ? "is not a relative path"
      : path.length > 4096 || parts.some((part) => part.length > 255)
        ? "is too long"
        : parts.includes("..") || parts.includes(".") || parts.includes("")
          ? "has a . or .. or an empty part"
          : path.startsWith("..")
            ? "starts with two dots"
            : path.includes("\0")
              ? "has a NUL"
              : undefined;
  if (why !== undefined) throw new TripodError("invalid", `volume path ${JSON.stringify(path)}: ${why}`);
}

export interface KeySelection {
  readonly items: readonly KeyToPath[] | undefined;
  readonly defaultMode: number;
  /** A key in `items` that does not exist is passed over. */
  readonly optional: boolean;
  /** "configmap ns/name", for the error. */
  readonly origin: string;
}

/** The files that a ConfigMap's or Secret's keys become: all of them, or those that `items` names. */
export function payloadOfKeys(
  entries: ReadonlyMap<string, Uint8Array>,
  selection: KeySelection,
): Map<string, PayloadFile> {
  const payload = new Map<string, PayloadFile>();
  if (selection.items === undefined || selection.items.length === 0) {
    for (const [key, data] of entries) payload.set(key, { data, mode: selection.defaultMode });
    return payload;
  }
  for (const { key, path, mode } of selection.items) {
    const data = entries.get(key);
    if (data !== undefined) payload.set(path, { data, mode: mode ?? selection.defaultMode });
    else if (!selection.optional) {
      throw new TripodError("not-found", `${selection.origin}: references non-existent key: ${key}`);
    }
  }
  return payload;
}
