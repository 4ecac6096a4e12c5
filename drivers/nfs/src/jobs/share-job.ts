import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { codeOf, messageOf } from "@tripod/base";
import { dieWithParent } from "@tripod/linux";
import { doJob } from "./do-job.ts";
import { errnoOf } from "./errno-of.ts";
import type { Job, JobMessage, Progress } from "./job.ts";
import { closeOwnFolders } from "./own-folder.ts";

// The entry of a process that does jobs on shares, one after another (jobs.ts).

const progressEveryMs = 500;

dieWithParent(Number(process.argv[2]));

const tell = (message: JobMessage): void => void writeSync(1, `${JSON.stringify(message)}\n`);
let toldAt = Date.now();
const onProgress = (progress: Progress): void => {
  if (Date.now() - toldAt < progressEveryMs) return;
  toldAt = Date.now();
  tell({ kind: "progress", progress });
};

for await (const line of createInterface({ input: process.stdin })) {
  let answer: JobMessage;
  try {
    const job = JSON.parse(line) as Job; // our own process wrote it
    answer = { kind: "done", result: (await doJob(job, onProgress)) ?? null };
  } catch (error) {
    const errno = errnoOf(error);
    const code = errno === "ENOTCONN" || errno === "EIO" ? "unavailable" : codeOf(error);
    answer = { kind: "failed", code, message: messageOf(error), errno: errno ?? null };
  }
  closeOwnFolders(); // they would keep the share mounted
  tell(answer);
}
