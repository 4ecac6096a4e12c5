const wanted = process.env.TRIPOD_FAILPOINT;
const [wantedName, wantedCount] = wanted === undefined ? [] : wanted.split("@");
let remaining = wantedCount === undefined ? 1 : Number(wantedCount);

/**
 * A place at which a crash test may kill this process: with TRIPOD_FAILPOINT=name (or name@N for the Nth passage) the process
 * ends by SIGKILL right here, as a power cut would. Costs one comparison otherwise.
 */
export function failpoint(name: string): void {
  if (name !== wantedName) return;
  remaining -= 1;
  if (remaining > 0) return;
  process.kill(process.pid, "SIGKILL");
  // The signal is delivered on the way back from the system call; nothing after this line may run.
  for (;;);
}
