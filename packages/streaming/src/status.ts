import { messageOf, TripodError } from "@tripod/base";
import type { ExecResult } from "./types.ts";

/** How a session ended, as its peer is told. */
export type Outcome =
  | { readonly kind: "exited"; readonly exitCode: number }
  | { readonly kind: "failed"; readonly error: unknown };

/** The message of a non-zero exit, for peers that understand text alone (protocols before v4). */
const exitMessage = (exitCode: number): string => `command terminated with non-zero exit code: ${exitCode}`;

/** The metav1.Status of an outcome as JSON: what the error stream carries from protocol v4 on. */
export function statusJson(outcome: Outcome): string {
  if (outcome.kind === "failed") {
    const message = messageOf(outcome.error);
    return JSON.stringify({ metadata: {}, status: "Failure", message, reason: "InternalError", code: 500 });
  }
  if (outcome.exitCode === 0) return JSON.stringify({ metadata: {}, status: "Success" });
  return JSON.stringify({
    metadata: {},
    status: "Failure",
    message: exitMessage(outcome.exitCode),
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(outcome.exitCode) }] },
  });
}

/** What the error stream carries before protocol v4: nothing for success, else a message. */
export function statusText(outcome: Outcome): string {
  if (outcome.kind === "failed") return messageOf(outcome.error);
  return outcome.exitCode === 0 ? "" : exitMessage(outcome.exitCode);
}

/** Reads what an error stream carried; throws what the peer reported unless it is an exit code. */
export function parseStatus(text: string): ExecResult {
  if (text === "") throw new TripodError("unavailable", "remote command: connection ended before the result came");
  let status: unknown;
  try {
    status = JSON.parse(text);
  } catch {
    throw new TripodError("internal", text); // a server of a protocol before v4
  }
  const { status: word, message, reason, details } = status as Record<string, unknown>; // checked field by field below
  if (word === "Success") return { exitCode: 0 };
  if (reason === "NonZeroExitCode") {
    const causes = (details as { causes?: { reason?: unknown; message?: unknown }[] } | undefined)?.causes ?? []; // a metav1.Status
    const exitCode = Number(causes.find((cause) => cause.reason === "ExitCode")?.message);
    if (Number.isInteger(exitCode)) return { exitCode };
  }
  throw new TripodError("internal", typeof message === "string" ? message : text);
}
