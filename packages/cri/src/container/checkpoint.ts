import { codeOf, runCommand, TripodError } from "@tripod/base";

const checkTimeoutMs = 10_000;

/** Why criu cannot freeze and restore processes on this machine, in its own words; undefined when it can. */
export async function criuProblem(program = "criu"): Promise<string | undefined> {
  try {
    const { exitCode, stdout, stderr } = await runCommand(program, ["check"], {
      okExitCodes: "any",
      timeoutMs: checkTimeoutMs,
    });
    if (exitCode === 0) return undefined;
    const errors = `${stdout.toString()}\n${stderr.toString()}`.split("\n").filter((line) => line.startsWith("Error"));
    return `criu does not work on this kernel: ${errors.map((line) => line.trim()).join("; ") || `criu check ended with ${exitCode}`}`;
  } catch (error) {
    if (codeOf(error) === "not-found") return "criu is not installed";
    throw error;
  }
}

/** Refuses `what`: for want of a working criu, or, where there is one, because this version does not use it yet. */
export async function refuseCheckpoint(what: string, program?: string): Promise<never> {
  const problem = await criuProblem(program);
  if (problem !== undefined) throw new TripodError("failed-precondition", `${what}: ${problem}`);
  throw new TripodError("unimplemented", `${what}: this version of Tripod neither writes nor reads checkpoints`);
}
