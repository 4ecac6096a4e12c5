import { libc } from "../libc.ts";
import { check, isErrno } from "../system-call-error.ts";

const PR_SET_CHILD_SUBREAPER = 36;
const WNOHANG = 1;

/**
 * Makes this process the parent of its descendants' orphans (prctl(2)), so that it learns how they end. From then on it must
 * reap() each of them: Node reaps only what it has started itself.
 */
export function setSubreaper(on = true): void {
  check("prctl", "PR_SET_CHILD_SUBREAPER", libc.prctl(PR_SET_CHILD_SUBREAPER, on ? 1 : 0, 0, 0, 0));
}

/** How a child ended. */
export type ExitStatus =
  | { readonly kind: "exited"; readonly code: number }
  | { readonly kind: "signaled"; readonly signal: number };

/** Collects an adopted child that has ended; undefined when it still runs or is not a child. Never for children that Node started. */
export function reap(pid: number): ExitStatus | undefined {
  const status = Buffer.alloc(4);
  try {
    if (check("waitpid", String(pid), libc.waitpid(pid, status, WNOHANG)) === 0) return undefined;
  } catch (error) {
    if (isErrno(error, "ECHILD")) return undefined;
    throw error;
  }
  const value = status.readInt32LE(0);
  const signal = value & 0x7f;
  return signal === 0 ? { kind: "exited", code: (value >> 8) & 0xff } : { kind: "signaled", signal };
}
