import { readdirSync, readFileSync } from "node:fs";
import { isNodeError } from "@tripod/base";

/** /proc/PID/stat's fields after the command, which may itself hold blanks and parentheses. */
function statOf(pid: string): { readonly parent: number; readonly session: number } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined; // it ended since readdir
  }
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { parent: Number(fields[1]), session: Number(fields[3]) };
}

/** The parent of a process; undefined when there is no such process. */
export const parentOf = (pid: number): number | undefined => statOf(String(pid))?.parent;

/** `root`, every process that it started, directly or not, and every one of a session that one of these leads. */
export function processTree(root: number): number[] {
  const related = new Map<number, number[]>();
  const relate = (to: number, pid: number): void => {
    related.set(to, [...(related.get(to) ?? []), pid]);
  };
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statOf(name);
    if (stat === undefined) continue;
    relate(stat.parent, Number(name));
    relate(stat.session, Number(name));
  }
  const found = new Set<number>([root]);
  const queue = [root];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    for (const next of related.get(pid) ?? []) {
      if (found.has(next)) continue;
      found.add(next);
      queue.push(next);
    }
  }
  return [...found];
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!isNodeError(error, "ESRCH")) throw error; // gone already
  }
}

/** Ends a process and all that it started by SIGKILL. Those that are gone already are passed over. */
export function killProcessTree(root: number): void {
  if (!Number.isInteger(root) || root <= 1) return;
  for (const pid of processTree(root)) kill(pid);
}

/**
 * Ends all that a process started, so that it reaps them and ends by itself: killed first, it would leave zombies to whatever runs as the
 * container's first process, which seldom reaps. True when there was something to end.
 */
export function killDescendants(root: number): boolean {
  if (!Number.isInteger(root) || root <= 1) return false;
  const started = processTree(root).filter((pid) => pid !== root);
  started.forEach(kill);
  return started.length > 0;
}
