import { isTripodError, runCommand, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { CheckpointNeeds, CheckpointRequest } from "../low-level-runtime.ts";
import { criuErrors, criuProblem, environmentWithCriu } from "./criu.ts";
import { findProgram } from "./find-program.ts";
import { runcErrorInText } from "./runc-log.ts";
import { globalArguments, type RuntimeProgram, statusOf } from "./runtime-program.ts";

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
  { leaveRunning, whilePaused }: CheckpointNeeds,
): Promise<string | undefined> {
  const { stdout } = await runCommand(findProgram(runtime), ["--version"], { timeoutMs: 10_000 });
  const dialect = checkpointDialectOf(stdout.toString().trim());
  if (dialect.kind === "none") return dialect.why;
  if (dialect.kind === "criu") return await criuProblem(criu);
  // Tried with 2024-07: it hangs when there is input waiting.
  if (whilePaused) return "gVisor makes no checkpoint of a container that is paused";
  if (!leaveRunning || dialect.resumes) return undefined;
  return `${stdout.toString().split("\n")[0]?.trim()} ends the containers that it checkpoints; install one of April 2024 or newer`;
}

/** How long a runtime that only freezes or thaws may take. */
const pauseTimeoutMs = 30_000;

/** Runs one of the runtime's subcommands; what it was refused for is in its own words and criu's. */
async function command(
  [subcommand, ...args]: readonly [string, ...string[]],
  id: string,
  options: { readonly program: CheckpointProgram; readonly timeoutMs: number; readonly workDir?: string },
): Promise<void> {
  const { program, timeoutMs, workDir } = options;
  const { exitCode, stderr } = await runCommand(
    program.runtime,
    [...globalArguments(program), subcommand, ...args, id],
    { okExitCodes: "any", timeoutMs, env: environmentWithCriu(program.criu) },
  ).catch((cause: unknown) => {
    if (!isTripodError(cause, "timeout")) throw cause;
    throw new TripodError("timeout", `${subcommand} container ${id}: not done in ${timeoutMs} ms`, { cause });
  });
  if (exitCode === 0) return;
  const ofCriu = workDir === undefined ? "" : criuErrors(workDir, "dump.log");
  const why = [runcErrorInText(stderr.toString()), ofCriu].filter((text) => text !== "");
  throw new TripodError("failed-precondition", `${subcommand} container ${id}: ${why.join("; ")}`);
}

/** Freezes a container or thaws it, unless it is so already. */
export async function pauseContainer(what: "pause" | "resume", id: string, program: CheckpointProgram): Promise<void> {
  const isPaused = (await statusOf(id, program)) === "paused";
  if (isPaused === (what === "pause")) return;
  await withSpan(`runc ${what}`, { "container.id": id }, () =>
    command([what], id, { program, timeoutMs: pauseTimeoutMs }),
  );
}

/** Has the runtime write the container's processes into `imagesDir`. */
export function checkpointContainer(
  id: string,
  { imagesDir, workDir, leaveRunning, timeoutMs = 120_000 }: CheckpointRequest,
  program: CheckpointProgram,
): Promise<void> {
  return withSpan("runc checkpoint", { "container.id": id, imagesDir, leaveRunning }, async () => {
    const more = leaveRunning ? ["--leave-running"] : [];
    const args = ["checkpoint", "--image-path", imagesDir, "--work-path", workDir, ...more] as const;
    await command(args, id, { program, timeoutMs, workDir });
  });
}
