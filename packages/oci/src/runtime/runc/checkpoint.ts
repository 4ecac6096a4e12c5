import { isTripodError, runCommand, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { CheckpointRequest } from "../low-level-runtime.ts";
import { criuErrors, criuProblem, environmentWithCriu } from "./criu.ts";
import { findProgram } from "./find-program.ts";
import { runcErrorInText } from "./runc-log.ts";
import { globalArguments, type RuntimeProgram } from "./runtime-program.ts";

/** Where runtimes differ that freeze containers. */
export type CheckpointDialect =
  | { readonly kind: "criu" }
  | { readonly kind: "own kernel"; readonly resumes: boolean }
  | { readonly kind: "none"; readonly why: string };

/**
 * By all that `--version` prints. gVisor's ended what it had checkpointed until it learned, in 2024, to go on with it: before, one asked
 * to leave it running starts another sandbox in its place, behind its supervisor's back. Its version is `release-YYYYMMDD.N` or, of
 * Debian, `0.0~YYYYMMDD.N`. crun names its abilities.
 */
export function checkpointDialectOf(versionText: string): CheckpointDialect {
  const [name, , version = ""] = versionText.split("\n")[0]?.split(" ") ?? [];
  if (name === "runsc") return { kind: "own kernel", resumes: (/\d{8}/.exec(version)?.[0] ?? "0") >= "20240401" };
  if (name === "crun" && !/\+CRIU\b/.test(versionText))
    return { kind: "none", why: "this crun was built without criu" };
  if (name === "runc" || name === "crun") return { kind: "criu" };
  return { kind: "none", why: `of ${name === "" ? "this runtime" : name} nobody knows here how it is asked to` };
}

/** The runtime's command line, and the criu that it uses. */
export interface CheckpointProgram extends RuntimeProgram {
  readonly criu: string;
}

/** Why the runtime cannot checkpoint here; undefined when it can. */
export async function checkpointProblem(
  { runtime, criu }: CheckpointProgram,
  { leaveRunning }: { readonly leaveRunning: boolean },
): Promise<string | undefined> {
  const { stdout } = await runCommand(findProgram(runtime), ["--version"], { timeoutMs: 10_000 });
  const dialect = checkpointDialectOf(stdout.toString().trim());
  if (dialect.kind === "none") return dialect.why;
  if (dialect.kind === "criu") return await criuProblem(criu);
  if (!leaveRunning || dialect.resumes) return undefined;
  return `${stdout.toString().split("\n")[0]?.trim()} ends the containers that it checkpoints; install one of April 2024 or newer`;
}

/** Has the runtime write the container's processes into `imagesDir`; what it was refused for is in its own words and criu's. */
export function checkpointContainer(
  id: string,
  request: CheckpointRequest,
  { criu, ...program }: CheckpointProgram,
): Promise<void> {
  const { imagesDir, workDir, leaveRunning, timeoutMs = 120_000 } = request;
  return withSpan("runc checkpoint", { "container.id": id, imagesDir, leaveRunning }, async () => {
    // biome-ignore format: an option and its value on a line
    const command = [
      ...globalArguments(program),
      "checkpoint",
      "--image-path", imagesDir,
      "--work-path", workDir,
      ...(leaveRunning ? ["--leave-running"] : []),
      id,
    ];
    const { exitCode, stderr } = await runCommand(program.runtime, command, {
      okExitCodes: "any",
      timeoutMs,
      env: environmentWithCriu(criu),
    }).catch((cause: unknown) => {
      if (!isTripodError(cause, "timeout")) throw cause;
      throw new TripodError("timeout", `checkpoint container ${id}: not done in ${timeoutMs} ms`, { cause });
    });
    if (exitCode === 0) return;
    const why = [runcErrorInText(stderr.toString()), criuErrors(workDir, "dump.log")].filter((text) => text !== "");
    throw new TripodError("failed-precondition", `checkpoint container ${id}: ${why.join("; ")}`);
  });
}
