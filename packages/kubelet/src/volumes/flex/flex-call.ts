import { existsSync } from "node:fs";
import { isTripodError, messageOf, runCommand, TripodError } from "@tripod/base";

/** How long one call may take, and how much it may print. */
const callTimeoutMs = 120_000;
const maxReplyBytes = 1024 * 1024;

/** What a driver answers (the FlexVolume design: a JSON object on standard output). */
export interface FlexReply {
  readonly status: "Success" | "Failure" | "Not supported";
  readonly message: string;
  readonly device: string;
  readonly volumeName: string;
  readonly attached: boolean;
  readonly capabilities: Readonly<Record<string, unknown>>;
}

const word = (value: unknown): string => (typeof value === "string" ? value : "");

/** Calls a driver: its reply, whatever it says. Throws for a driver that is missing, hangs, or prints something else. */
export async function flexCall(program: string, args: readonly string[], signal?: AbortSignal): Promise<FlexReply> {
  const what = `flexVolume driver ${program}: ${args[0] ?? ""}`;
  if (!existsSync(program))
    throw new TripodError("failed-precondition", `${what}: there is no such program; install the driver on this node`);
  let text: string;
  try {
    const options = { okExitCodes: "any", timeoutMs: callTimeoutMs, maxOutputBytes: maxReplyBytes } as const;
    const result = await runCommand(program, args, { ...options, ...(signal === undefined ? {} : { signal }) });
    text = result.stdout.toString().trim();
    if (text === "")
      throw new TripodError(
        "internal",
        `exit code ${result.exitCode} and no reply: ${result.stderr.toString().slice(0, 500)}`,
      );
  } catch (cause) {
    const code = isTripodError(cause, "timeout", "cancelled", "exhausted") ? cause.code : "internal";
    throw new TripodError(code, `${what}: ${messageOf(cause)}`, { cause });
  }
  return parseReply(what, text);
}

function parseReply(what: string, text: string): FlexReply {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (cause) {
    throw new TripodError("corrupt", `${what}: its reply is no JSON: ${text.slice(0, 200)}`, { cause });
  }
  if (typeof found !== "object" || found === null || Array.isArray(found))
    throw new TripodError("corrupt", `${what}: its reply is no JSON object: ${text.slice(0, 200)}`);
  const reply: Readonly<Record<string, unknown>> = { ...found };
  const { status, capabilities } = reply;
  if (status !== "Success" && status !== "Failure" && status !== "Not supported")
    throw new TripodError("corrupt", `${what}: its reply has the status ${JSON.stringify(status)?.slice(0, 100)}`);
  return {
    status,
    message: word(reply.message).slice(0, 1000),
    device: word(reply.device),
    volumeName: word(reply.volumeName),
    attached: reply.attached === true,
    capabilities: typeof capabilities === "object" && capabilities !== null ? { ...capabilities } : {},
  };
}

/** The reply of a call that must succeed; undefined when the driver does not know it. */
export async function flexCallOk(
  program: string,
  args: readonly string[],
  signal?: AbortSignal,
): Promise<FlexReply | undefined> {
  const reply = await flexCall(program, args, signal);
  if (reply.status === "Not supported") return undefined;
  if (reply.status === "Failure")
    throw new TripodError(
      "internal",
      `flexVolume driver ${program}: ${args[0] ?? ""} failed: ${reply.message || "it does not say why"}`,
    );
  return reply;
}
