import type { Readable } from "node:stream";
import { messageOf, TripodError } from "@tripod/base";
import { errorOfStatus, isStatus } from "./kube-error.ts";

/** What a watch yields. A bookmark's object holds little more than metadata.resourceVersion. */
export interface WatchEventOf<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  readonly object: T;
}

/** One event of a watch, in bytes at most. */
const longestEvent = 16 * 1024 * 1024;

/**
 * Reads a watch's body, an event a line. Ends when the server ends it. An ERROR event is thrown as the error of its Status:
 * "out-of-range" (410) means that the resourceVersion is too old and a new list is needed.
 */
export async function* readWatch<T>(body: Readable, what: string): AsyncGenerator<WatchEventOf<T>, void, undefined> {
  let pending: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      // no encoding is set, so chunks are Buffers
      let start = 0;
      for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
        const line = Buffer.concat([...pending, chunk.subarray(start, end)]);
        pending = [];
        size = 0;
        start = end + 1;
        if (line.length > 0) yield parseEvent<T>(line, what);
      }
      if (start === chunk.length) continue;
      pending.push(chunk.subarray(start));
      size += chunk.length - start;
      if (size > longestEvent)
        throw new TripodError("exhausted", `${what}: an event is longer than ${longestEvent} bytes`);
    }
  } catch (cause) {
    if (cause instanceof TripodError) throw cause;
    throw new TripodError("unavailable", `${what}: the watch broke: ${messageOf(cause)}`, { cause });
  } finally {
    body.destroy();
  }
}

function parseEvent<T>(line: Buffer, what: string): WatchEventOf<T> {
  let event: { type?: unknown; object?: unknown };
  try {
    event = JSON.parse(line.toString("utf8"));
  } catch (cause) {
    throw new TripodError("corrupt", `${what}: an event is no JSON: ${messageOf(cause)}`, { cause });
  }
  const { type, object } = event;
  if (type === "ERROR") throw errorOfStatus(what, isStatus(object) ? (object.code ?? 500) : 500, object);
  if (type !== "ADDED" && type !== "MODIFIED" && type !== "DELETED" && type !== "BOOKMARK")
    throw new TripodError("corrupt", `${what}: unknown kind of event ${JSON.stringify(type)}`);
  return { type, object: object as T }; // the server's word for what the resource holds
}
