import { codeOf } from "@tripod/base";

/** What `work` returns; undefined where it finds something "invalid". For whoever looks at many things, of which one must not hide the others. */
export function unlessInvalid<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (codeOf(error) === "invalid") return undefined;
    throw error;
  }
}
