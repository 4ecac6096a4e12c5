import { codeOf } from "@tripod/base";
import type { Descriptor } from "../spec/descriptor.ts";
import type { HostSession } from "./host-session.ts";
import { Attempts } from "./retry.ts";
import { sendBlob } from "./send-blob.ts";
import { beginUpload, type UploadPlace, whereItIs } from "./upload-place.ts";

export interface PushBlobOptions {
  readonly repository: string;
  /** The blob's file. */
  readonly path: string;
  /** Brings the file in; called only when it has to be sent. */
  readonly prepare?: () => Promise<void>;
  /** Another repository of the same registry that is known to have it. */
  readonly mountFrom?: string | undefined;
  readonly signal: AbortSignal;
  readonly onBytes?: (doneBytes: number) => void;
  /** What one request carries at most; 64 MiB unless told. */
  readonly chunkBytes?: number;
}

const passing: ReadonlySet<string> = new Set(["unavailable", "timeout", "exhausted"]);

/**
 * Uploads a blob unless the registry has it, or can take it over from another repository (distribution spec, "Push"). An upload that
 * breaks goes on where the registry says it is; where it has forgotten it, it begins again.
 */
export async function pushBlob(
  session: HostSession,
  blob: Descriptor,
  options: PushBlobOptions,
): Promise<"exists" | "mounted" | "uploaded"> {
  const { repository, mountFrom, signal } = options;
  const scopes = [
    `repository:${repository}:pull,push`,
    ...(mountFrom === undefined ? [] : [`repository:${mountFrom}:pull`]),
  ];
  const head = await session.request({
    method: "HEAD",
    path: `/${repository}/blobs/${blob.digest}`,
    accept: [200, 404],
    scopes,
    signal,
  });
  head.body.resume();
  if (head.status === 200) return "exists";
  const attempts = new Attempts(5);
  let place: UploadPlace | undefined;
  for (let reached = 0; ; ) {
    if (place === undefined) {
      const location = await beginUpload(session, { repository, scopes, signal, mount: { blob, from: mountFrom } });
      if (location === undefined) return "mounted";
      place = { location, offset: 0 };
    }
    await options.prepare?.();
    try {
      await sendBlob(session, blob, { ...options, scopes, place });
      return "uploaded";
    } catch (error) {
      if (!passing.has(codeOf(error))) throw error;
      if (place.offset > reached) attempts.progress();
      reached = Math.max(reached, place.offset);
      if (!(await attempts.again(signal))) throw error;
      place = await whereItIs(session, place, { scopes, signal });
    }
  }
}
