import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { type ErrorCode, Limiter, TripodError } from "@tripod/base";
import type { DiskUsage } from "../image.ts";
import type { MergeOptions } from "./merge-layers.ts";

export interface MergeJob extends MergeOptions {
  /** Where the tree's marks are written (tree-marks.ts). */
  readonly marksFile: string;
  /** Whether all of it must be on the disk before it counts as made. */
  readonly sync: boolean;
}

export type MergeReply =
  | { readonly done: DiskUsage }
  | { readonly failed: { readonly code: ErrorCode; readonly message: string } };

/** Copies wait for the disk: more at once make none of them faster. */
const atOnce = new Limiter(2);

/** Merges layers to one tree and marks it, in a thread of its own; what the tree takes on the disk. */
export function runMerge(job: MergeJob): Promise<DiskUsage> {
  return atOnce.run(async () => {
    const worker = new Worker(new URL("./merge-worker.ts", import.meta.url), { name: "tripod-merge", workerData: job });
    // The worker posts one message, always; an "error" event rejects.
    const [reply] = (await once(worker, "message")) as [MergeReply];
    if ("done" in reply) return reply.done;
    const { code, message } = reply.failed;
    const isFull = code === "exhausted" || /\b(ENOSPC|EDQUOT)\b/.test(message);
    throw new TripodError(
      isFull ? "exhausted" : code,
      isFull
        ? `copy layers to ${job.into}: no room left; remove unused images or containers`
        : `copy layers: ${message}`,
    );
  });
}
