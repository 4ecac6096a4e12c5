import { codeOf } from "@tripod/base";

/** Waits for a creation under a name that every try gives; that a try before this one got as far is no failure. */
export async function ignoreExisting(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (codeOf(error) !== "already-exists") throw error;
  }
}
