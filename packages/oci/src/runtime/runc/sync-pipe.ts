import type { Readable } from "node:stream";
import { TripodError } from "@tripod/base";
import { runcErrorInText } from "./runc-log.ts";

/** What conmon sends on its sync pipe when `runtime create` is over: the pid, or -1 and the runtime's own words. */
export type SyncMessage =
  | { readonly kind: "created"; readonly pid: number }
  | { readonly kind: "failed"; readonly message: string };

/** A runtime's error text can be long; conmon itself stops at 64 KiB. */
const maxBytes = 256 * 1024;

/** Parses `{"data": 4711}` or `{"data": -1, "message": "…"}` (conmon's API version 1; version 0 calls it "pid"). */
export function parseSyncMessage(text: string): SyncMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TripodError("corrupt", `conmon: sync message ${JSON.stringify(text.slice(0, 200))} is not JSON`, {
      cause,
    });
  }
  if (typeof value === "object" && value !== null) {
    const number = "data" in value ? value.data : "pid" in value ? value.pid : undefined;
    if (typeof number === "number" && number > 0) return { kind: "created", pid: number };
    const message = "message" in value && typeof value.message === "string" ? runcErrorInText(value.message) : "";
    return { kind: "failed", message: message === "" ? "the runtime gave no reason" : message };
  }
  throw new TripodError("corrupt", `conmon: sync message ${JSON.stringify(text.slice(0, 200))} is no object`);
}

/** Reads the one line that conmon sends; a pipe that ends without one means that conmon died. */
export async function readSyncMessage(pipe: Readable): Promise<SyncMessage> {
  let text = "";
  // A Readable without encoding yields Buffers.
  for await (const chunk of pipe as AsyncIterable<Buffer>) {
    text += chunk.toString();
    if (text.includes("\n")) break;
    if (text.length > maxBytes) throw new TripodError("exhausted", "conmon: sync message has no end");
  }
  if (text.trim() === "") throw new TripodError("internal", "conmon: ended before it had created the container");
  return parseSyncMessage(text);
}
