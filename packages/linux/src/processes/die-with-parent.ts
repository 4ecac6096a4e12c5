import { libc } from "../libc.ts";

const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

/** From now on the kernel kills this process when the one that started it dies (prctl(2)); at once when it has. `parent`: its pid. */
export function dieWithParent(parent: number): void {
  libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (process.ppid !== parent) process.kill(process.pid, "SIGKILL");
}
