import { existsSync } from "node:fs";
import { copyFile, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { failpoint, TripodError } from "@tripod/base";
import type { CheckpointingRuntime, CheckpointNeeds } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import type { ContainerRecord } from "../records/container-record.ts";
import { runtimeOf } from "../runtime/handler.ts";
import { archiveNames, configDump, specDump } from "./dump-files.ts";

/** The part of a handler that makes checkpoints; "failed-precondition" with the reason where this machine has none. */
export async function checkpointsOf(
  context: CriContext,
  handler: string,
  { what, ...needs }: CheckpointNeeds & { readonly what: string },
): Promise<CheckpointingRuntime> {
  const { checkpoints } = runtimeOf(context, handler);
  const why =
    checkpoints === undefined
      ? `the runtime handler ${handler || "runc"} makes none; use one that runs runc or runsc`
      : await checkpoints.problem(needs);
  if (checkpoints === undefined || why !== undefined) throw new TripodError("failed-precondition", `${what}: ${why}`);
  return checkpoints;
}

/** Says why a container cannot be checkpointed, whatever the machine can. */
export function requireCapturable(context: CriContext, container: ContainerRecord): void {
  const what = `checkpoint container ${container.id}`;
  if (container.phase !== "running") {
    throw new TripodError("failed-precondition", `${what}: it is ${container.phase}, only a running one can be`);
  }
  if (context.sandboxes.get(container.sandboxId).userNamespace !== undefined) {
    const why = "its Pod has a user namespace, whose ids no other Pod would have";
    throw new TripodError("failed-precondition", `${what}: ${why}; set hostUsers: true`);
  }
}

/**
 * Fills the folder `into` with a container's checkpoint: its processes, what it wrote, its log and what says which it was. Whoever asks
 * has paused it, if it is to be of one moment.
 */
export async function captureContainer(
  context: CriContext,
  container: ContainerRecord,
  {
    into,
    checkpoints,
    timeoutMs,
  }: {
    readonly into: string;
    readonly checkpoints: CheckpointingRuntime;
    readonly timeoutMs: number;
  },
): Promise<void> {
  const { id } = container;
  const at = (name: keyof typeof archiveNames): string => join(into, archiveNames[name]);
  const workDir = join(into, "work");
  await mkdir(at("images"), { recursive: true, mode: 0o700 });
  await mkdir(workDir);
  await writeFile(at("config"), JSON.stringify(configDump(container)));
  await writeFile(at("spec"), JSON.stringify(specDump(context, container)));
  await checkpoints.checkpoint(id, { imagesDir: at("images"), workDir, leaveRunning: true, timeoutMs });
  failpoint("cri.checkpoint.written");
  const { deleted } = await context.images.writeRootfsDiff(id, at("rootfsDiff"));
  await writeFile(at("deletedFiles"), JSON.stringify(deleted));
  if (container.logPath !== "" && existsSync(container.logPath)) await copyFile(container.logPath, at("log"));
  const dumpLog = join(workDir, archiveNames.dumpLog);
  if (existsSync(dumpLog)) await rename(dumpLog, at("dumpLog"));
  await rm(workDir, { recursive: true });
}
