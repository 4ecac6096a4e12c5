import { SystemCallError } from "@tripod/linux";

/** "ENOENT" for the error of a system call, ours or Node's, also as the cause of another; undefined for the rest. */
export function errnoOf(error: unknown): string | undefined {
  if (error instanceof SystemCallError) return error.errno;
  if (!(error instanceof Error)) return undefined;
  if ("code" in error && typeof error.code === "string" && /^E[A-Z0-9]+$/.test(error.code)) return error.code;
  return errnoOf(error.cause);
}
