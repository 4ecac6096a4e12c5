import { closeSync, openSync, writeFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { codeOf, messageOf } from "@tripod/base";
import { syncFileSystem } from "@tripod/linux";
import { mergeLayers } from "./merge-layers.ts";
import type { MergeJob, MergeReply } from "./run-merge.ts";
import { markTree } from "./tree-marks.ts";

// The thread of one runMerge().

function merge({ lower, into, owners, marksFile, sync }: MergeJob): MergeReply {
  try {
    const { shared } = mergeLayers({ lower, into, owners });
    const { marks, usage } = markTree(into, shared);
    writeFileSync(marksFile, marks, { mode: 0o600 });
    if (sync) {
      const folder = openSync(into, "r");
      try {
        syncFileSystem(folder);
      } finally {
        closeSync(folder);
      }
    }
    return { done: usage };
  } catch (error) {
    return { failed: { code: codeOf(error), message: messageOf(error) } };
  }
}

parentPort?.postMessage(merge(workerData as MergeJob)); // run-merge.ts started it with one
