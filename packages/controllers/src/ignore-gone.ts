import { codeOf } from "@tripod/base";

/** Waits for a deletion; that somebody else was faster is no failure. */
export async function ignoreGone(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (codeOf(error) !== "not-found") throw error;
  }
}
