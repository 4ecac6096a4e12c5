import { libc } from "../libc.ts";

/** sigprocmask(2)'s `how`. */
const SIG_BLOCK = 0;
const SIG_SETMASK = 2;

/** As large as any C library's sigset_t; a set bit blocks its signal. */
const setBytes = 128;
const everySignal = Buffer.alloc(setBytes, 0xff);

/**
 * Runs `work`, one synchronous step, with every signal held back from the calling thread; another thread takes it, or it waits. For
 * calls that a signal may break off in a state which the caller cannot tell.
 */
export function withSignalsBlocked<T>(work: () => T): T {
  const before = Buffer.alloc(setBytes);
  libc.pthreadSigmask(SIG_BLOCK, everySignal, before); // fails for a bad `how` alone
  try {
    return work();
  } finally {
    libc.pthreadSigmask(SIG_SETMASK, before, null);
  }
}
