import { setTimeout as delay } from "node:timers/promises";
import { Backoff, isNodeError, isTripodError, messageOf, runCommand, TripodError } from "@tripod/base";
import { CniError, cniCodes, errorFromJson } from "./cni-error.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";
import type { PluginRequest } from "./plugin-request.ts";

export interface ExecOptions {
  /** After this long the plugin's whole process group is killed; 60,000 unless told. */
  readonly timeoutMs?: number;
  /** W3C trace context to hand on in TRACEPARENT. */
  readonly traceparent?: string | undefined;
}

/** No plugin prints more: 4 MiB a stream. */
const maxOutputBytes = 4 * 1024 * 1024;

/** A binary that is being replaced cannot be run for a moment (ETXTBSY): tried again for about 3 s in all. */
const busyTries = 8;

const isBusy = (error: unknown): boolean => {
  const cause = error instanceof TripodError ? error.cause : error;
  return isNodeError(cause, "ETXTBSY");
};

/** The environment of a plugin process: the caller's own, and what the specification adds. */
function pluginEnvironment(
  request: Omit<PluginRequest, "stdin" | "signal" | "command"> & { readonly command: string },
  traceparent: string | undefined,
): NodeJS.ProcessEnv {
  const environment = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("CNI_")));
  return {
    ...environment,
    CNI_COMMAND: request.command,
    CNI_CONTAINERID: request.containerId,
    CNI_NETNS: request.netns,
    CNI_IFNAME: request.ifname,
    CNI_ARGS: request.args,
    CNI_PATH: request.path.join(":"),
    ...(traceparent === undefined ? {} : { TRACEPARENT: traceparent }),
  };
}

function parseOutput(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue; // what JSON.parse returns is JSON
  } catch {
    return undefined; // the caller says what was printed instead
  }
}

async function run(
  file: string,
  input: string,
  env: NodeJS.ProcessEnv,
  options: { readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const backoff = new Backoff({ initialMs: 20, maxMs: 1000 });
  for (let attempt = 1; ; attempt += 1) {
    try {
      const result = await runCommand(file, [], { input, env, ...options, maxOutputBytes, okExitCodes: "any" });
      return { exitCode: result.exitCode, stdout: result.stdout.toString(), stderr: result.stderr.toString() };
    } catch (error) {
      if (!isBusy(error) || attempt === busyTries) throw error;
      await delay(backoff.next(), undefined, { signal: options.signal });
    }
  }
}

/**
 * Runs a plugin's executable as the specification says. Returns the JSON that it printed (nothing, `null` and an empty object
 * alike as an absent result). Its error JSON on standard output becomes a CniError; where it printed none, what it did print.
 */
export async function execPlugin(
  file: string,
  request: PluginRequest,
  options: ExecOptions = {},
): Promise<JsonObject | undefined> {
  const name = file.slice(file.lastIndexOf("/") + 1);
  const env = pluginEnvironment(request, options.traceparent);
  const { exitCode, stdout, stderr } = await run(file, JSON.stringify(request.stdin), env, {
    signal: request.signal,
    timeoutMs: options.timeoutMs ?? 60_000,
  });
  const printed = parseOutput(stdout);
  if (exitCode !== 0) {
    const error = errorFromJson(printed, name);
    if (error !== undefined) throw error;
    const said = (stderr.trim() === "" ? stdout : stderr).trim().slice(-2000);
    throw new CniError(cniCodes.internal, `plugin ${file}: exit code ${exitCode} without an error in JSON: ${said}`);
  }
  if (request.command !== "ADD" || stdout.trim() === "" || printed === null) return undefined;
  if (!isJsonObject(printed))
    throw new CniError(
      cniCodes.decoding,
      `plugin ${file}: printed what is no JSON object: ${stdout.trim().slice(0, 200)}`,
    );
  return printed;
}

/** Asks an executable which versions it speaks. One that predates VERSION speaks 0.1.0. */
export async function execVersion(file: string, signal: AbortSignal): Promise<readonly string[]> {
  const env = pluginEnvironment(
    { command: "VERSION", containerId: "", netns: "", ifname: "", args: "", path: [] },
    undefined,
  );
  try {
    const { exitCode, stdout } = await run(file, "{}", env, { signal, timeoutMs: 10_000 });
    const printed = parseOutput(stdout);
    if (exitCode === 0 && isJsonObject(printed) && Array.isArray(printed.supportedVersions))
      return printed.supportedVersions.filter((version): version is string => typeof version === "string");
    if (/unknown CNI_COMMAND: VERSION/i.test(stdout)) return ["0.1.0"];
    throw new CniError(cniCodes.decoding, `exit code ${exitCode}, printed: ${stdout.trim().slice(0, 200)}`);
  } catch (error) {
    if (isTripodError(error, "cancelled")) throw error;
    throw new CniError(cniCodes.pluginNotAvailable, `ask ${file} for its version: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
