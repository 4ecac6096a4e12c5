import { TripodError } from "@tripod/base";
import type { Descriptor } from "../spec/descriptor.ts";
import { readBody } from "./exchange.ts";
import type { HostSession } from "./host-session.ts";

/** Bytes from `start` up to, and without, `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Fetches a part of a blob by one Range request. A host that sends all of it instead is an "unimplemented" error. */
export async function fetchRange(
  session: HostSession,
  blob: Descriptor,
  {
    range: { start, end },
    repository,
    signal,
  }: { readonly range: ByteRange; readonly repository: string; readonly signal: AbortSignal | undefined },
): Promise<Buffer> {
  const what = `fetch bytes ${start} to ${end} of ${blob.digest} from ${session.name}`;
  const reply = await session.request({
    method: "GET",
    path: `/${repository}/blobs/${blob.digest}`,
    headers: { accept: "*/*", range: `bytes=${start}-${end - 1}` },
    accept: [200, 206],
    scopes: [`repository:${repository}:pull`],
    signal,
  });
  const whole = reply.status === 200 && !(start === 0 && end === blob.size);
  const given = /^bytes (\d+)-(\d+)\//.exec(String(reply.headers["content-range"] ?? ""));
  if (whole || (reply.status === 206 && (Number(given?.[1]) !== start || Number(given?.[2]) !== end - 1))) {
    reply.body.destroy();
    throw new TripodError("unimplemented", `${what}: it does not give parts of blobs (Range requests)`);
  }
  const bytes = await readBody(reply.body, end - start, what);
  if (bytes.length === end - start) return bytes;
  throw new TripodError("unavailable", `${what}: ${bytes.length} bytes came`);
}
