/** Whether an error is one that Node's own modules throw with one of these codes: `isNodeError(error, "ENOENT", "ENOTDIR")`. */
export const isNodeError = (error: unknown, ...codes: readonly string[]): boolean =>
  error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code);
