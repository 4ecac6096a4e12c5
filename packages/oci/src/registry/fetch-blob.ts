import { codeOf, failpoint, messageOf, TripodError } from "@tripod/base";
import type { Ingest } from "../content/ingest.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import type { HostSession } from "./host-session.ts";
import { Attempts, isPassingError } from "./retry.ts";

export interface FetchBlobOptions {
  readonly repository: string;
  readonly signal?: AbortSignal | undefined;
  readonly onBytes?: ((doneBytes: number) => void) | undefined;
}

/**
 * Downloads one blob into `ingest` and commits it. A connection that breaks is taken up again by Range where it broke; nothing
 * beyond the declared size is read.
 */
export async function fetchBlob(
  session: HostSession,
  blob: Descriptor,
  options: FetchBlobOptions & { ingest: Ingest },
): Promise<void> {
  const { ingest, signal } = options;
  const attempts = new Attempts(6);
  const what = `download ${blob.digest} from ${session.name}`;
  let fresh = ingest.offset === 0;
  for (;;) {
    try {
      while (ingest.missing > 0) {
        const before = ingest.offset;
        const failure = await download(session, blob, options);
        if (ingest.offset > before) attempts.progress();
        if (failure === undefined) continue;
        if (!(await attempts.again(signal))) {
          throw new TripodError(
            "unavailable",
            `${what}: the connection breaks again and again: ${messageOf(failure)}`,
            { cause: failure },
          );
        }
      }
      failpoint("oci.blob.downloaded");
      await ingest.commit();
      return;
    } catch (error) {
      // What an earlier attempt left may have been wrong; then all of it is fetched once more.
      if (codeOf(error) !== "corrupt" || fresh) throw error;
      await ingest.reset();
      fresh = true;
    }
  }
}

/** One request. Returns the failure when the connection broke, undefined when it went as far as it said. */
async function download(
  session: HostSession,
  blob: Descriptor,
  { repository, signal, ingest, onBytes }: FetchBlobOptions & { ingest: Ingest },
): Promise<unknown> {
  const start = ingest.offset;
  const reply = await session.request({
    method: "GET",
    path: `/${repository}/blobs/${blob.digest}`,
    headers: { accept: "*/*", ...(start === 0 ? {} : { range: `bytes=${start}-` }) },
    accept: [200, 206, 416],
    scopes: [`repository:${repository}:pull`],
    signal,
  });
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(String(reply.headers["content-range"] ?? ""));
  if (reply.status === 416 || (reply.status === 206 && Number(range?.[1]) !== start)) {
    reply.body.destroy();
    if (start === 0)
      throw new TripodError(
        "invalid",
        `download ${blob.digest} from ${session.name}: it answers a range that was not asked for`,
      );
    await ingest.reset();
    return undefined;
  }
  if (reply.status === 200) {
    const length = reply.headers["content-length"];
    if (length !== undefined && Number(length) !== blob.size) {
      reply.body.destroy();
      throw new TripodError(
        "corrupt",
        `download ${blob.digest} from ${session.name}: it offers ${length} bytes, the manifest says ${blob.size}`,
      );
    }
    if (start > 0) await ingest.reset(); // it does not know ranges
  }
  try {
    // A body without an encoding yields Buffers.
    for await (const piece of reply.body as AsyncIterable<Buffer>) {
      const wanted = piece.subarray(0, ingest.missing);
      await ingest.write(wanted);
      onBytes?.(ingest.offset);
      if (ingest.missing === 0) break; // leaving the loop closes the connection, whatever else would come
    }
    return ingest.missing === 0 ? undefined : new Error("the body ends early");
  } catch (error) {
    signal?.throwIfAborted();
    if (isPassingError(error)) return error;
    throw error;
  } finally {
    reply.body.destroy();
  }
}
