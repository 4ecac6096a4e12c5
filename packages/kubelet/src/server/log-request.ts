import { TripodError } from "@tripod/base";
import { unixMsOf } from "../pods/timestamp.ts";

/** What a request for a log asks for. */
export interface LogRequest {
  readonly follow: boolean;
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly tailLines: number | undefined;
  readonly limitBytes: number | undefined;
  readonly sinceMs: number | undefined;
  readonly stream: "all" | "stdout" | "stderr";
}

function count(query: URLSearchParams, name: string, least: number): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new TripodError("invalid", `${name}=${text}: must be a whole number of at least ${least}`);
}

const flag = (query: URLSearchParams, name: string): boolean => ["true", "1"].includes(query.get(name) ?? "");

/** Parses the query of a log request; a bad value is an "invalid" error that names it. */
export function parseLogRequest(query: URLSearchParams, nowMs: number): LogRequest {
  const sinceSeconds = count(query, "sinceSeconds", 1);
  const sinceTime = query.get("sinceTime");
  const sinceTimeMs = unixMsOf(sinceTime ?? undefined);
  if (sinceTime !== null && sinceTimeMs === undefined) {
    throw new TripodError("invalid", `sinceTime=${sinceTime}: is not a time`);
  }
  const stream = (query.get("stream") ?? "all").toLowerCase();
  if (stream !== "all" && stream !== "stdout" && stream !== "stderr") {
    throw new TripodError("invalid", `stream=${stream}: must be All, Stdout or Stderr`);
  }
  return {
    follow: flag(query, "follow"),
    previous: flag(query, "previous"),
    timestamps: flag(query, "timestamps"),
    tailLines: count(query, "tailLines", 0),
    limitBytes: count(query, "limitBytes", 1),
    sinceMs: sinceSeconds === undefined ? sinceTimeMs : nowMs - sinceSeconds * 1000,
    stream,
  };
}
