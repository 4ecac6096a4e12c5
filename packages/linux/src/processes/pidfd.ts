import { libc, SYS } from "../libc.ts";
import { check, isErrno } from "../system-call-error.ts";

/** A descriptor that stands for the process whatever becomes of its number (pidfd_open(2)); undefined when there is none. */
export function pidfdOpen(pid: number): number | undefined {
  try {
    return check("pidfd_open", String(pid), libc.syscall(SYS.pidfd_open, pid, 0n, null, null, null));
  } catch (error) {
    if (isErrno(error, "ESRCH")) return undefined;
    throw error;
  }
}

/** Sends a signal by number (0 only probes); ESRCH once the process has been reaped. */
export function pidfdSendSignal(pidfd: number, signal: number): void {
  const result = libc.syscall(SYS.pidfd_send_signal, pidfd, BigInt(signal), null, 0n, null);
  check("pidfd_send_signal", `descriptor ${pidfd}`, result);
}
