import { readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { codeOf, isNodeError, runCommand } from "@tripod/base";
import { findProgram } from "./find-program.ts";

const checkTimeoutMs = 10_000;

/** Why criu cannot freeze and restore processes on this machine, in its own words; undefined when it can. */
export async function criuProblem(program = "criu"): Promise<string | undefined> {
  try {
    const { exitCode, stdout, stderr } = await runCommand(findProgram(program), ["check"], {
      okExitCodes: "any",
      timeoutMs: checkTimeoutMs,
    });
    if (exitCode === 0) return undefined;
    const errors = errorLines(`${stdout.toString()}\n${stderr.toString()}`);
    return `criu does not work on this kernel: ${errors || `criu check ended with ${exitCode}`}`;
  } catch (error) {
    if (codeOf(error) === "not-found") return "criu is not installed";
    throw error;
  }
}

/** The lines in which criu says what went wrong, joined. */
const errorLines = (text: string): string =>
  text
    .split("\n")
    .map((line) => line.replace(/^\([\d.]+\)\s*/, "").trim())
    .filter((line) => line.startsWith("Error"))
    .slice(0, 4)
    .join("; ");

/** What criu's log in `workDir` says went wrong; "" without one. */
export function criuErrors(workDir: string, name: "dump.log" | "restore.log"): string {
  try {
    return errorLines(readFileSync(join(workDir, name), "utf8"));
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return "";
    throw error;
  }
}

/** An environment in which runtimes, which look for "criu", find `program`. */
export function environmentWithCriu(program: string): NodeJS.ProcessEnv {
  const path = process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin";
  return { ...process.env, PATH: program.includes("/") ? `${dirname(program)}${delimiter}${path}` : path };
}
