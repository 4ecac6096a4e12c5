import { TripodError } from "@tripod/base";
import { libc } from "../libc.ts";

/**
 * Ends the process by _exit(2): nothing else runs, no thread is waited for, nothing is taken apart, which Node would do for one to two
 * milliseconds. For programs that live for one short task and have written what they had to write.
 */
export function exitAtOnce(code: number): never {
  libc.exit(code);
  throw new TripodError("internal", "end the process: _exit(2) returned");
}
