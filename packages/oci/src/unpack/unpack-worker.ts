import { closeSync, openSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { codeOf, messageOf } from "@tripod/base";
import { syncFileSystem } from "@tripod/linux";
import { compareTrees, treeChanges } from "../snapshots/compare-trees.ts";
import { measureTree } from "../snapshots/measure-tree.ts";
import { adoptImplied } from "./adopt-implied.ts";
import { fileIdentity } from "./file-identity.ts";
import { unpackLayer } from "./unpack-layer.ts";
import type { FromWorker, ToWorker, WorkerJob, WorkerResult } from "./worker-message.ts";

// The entry of a worker thread: takes one job after another from WorkerPool.

/** What is told of a damaged layer. */
const differencesTold = 3;

const running = new Map<number, AbortController>();

async function work(job: WorkerJob, signal: AbortSignal): Promise<WorkerResult> {
  if (job.kind === "unpack") return unpackLayer(job.request, signal);
  if (job.kind === "digest") return fileIdentity(job.path, signal);
  if (job.kind === "measure") return measureTree(job.dir);
  if (job.kind === "compare") return compareTrees(job.expected, job.found, { signal, limit: differencesTold });
  if (job.kind === "changes") return treeChanges(job.expected, job.found, { signal });
  const { dir, implied, lowerDirs } = job.request;
  adoptImplied(dir, implied, lowerDirs);
  const folder = openSync(dir, "r");
  try {
    syncFileSystem(folder);
  } finally {
    closeSync(folder);
  }
  return undefined;
}

async function answer(id: number, job: WorkerJob): Promise<FromWorker> {
  const abort = new AbortController();
  running.set(id, abort);
  try {
    return { id, done: await work(job, abort.signal) };
  } catch (error) {
    return { id, failed: { code: codeOf(error), message: messageOf(error) } };
  } finally {
    running.delete(id);
  }
}

parentPort?.on("message", (message: ToWorker) => {
  if ("cancel" in message) running.get(message.id)?.abort();
  // answer() never rejects.
  else void answer(message.id, message.job).then((reply) => parentPort?.postMessage(reply));
});
const ready: FromWorker = { ready: true };
parentPort?.postMessage(ready);
