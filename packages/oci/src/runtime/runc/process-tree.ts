import { readdirSync, readFileSync } from "node:fs";

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

/** Every process that `root` started, directly or not, and every one of the session that it leads; `root` itself first. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>();
  const found = new Set<number>([root]);
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statOf(name);
    if (stat === undefined) continue;
    const pid = Number(name);
    if (stat.session === root) found.add(pid);
    children.set(stat.parent, [...(children.get(stat.parent) ?? []), pid]);
  }
  const queue = [...found];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    for (const child of children.get(pid) ?? []) {
      if (found.has(child)) continue;
      found.add(child);
      queue.push(child);
    }
  }
  return [...found];
}

/** Ends a process and all that it started by SIGKILL. Those that are gone already are passed over. */
export function killProcessTree(root: number): void {
  if (!Number.isInteger(root) || root <= 1) return;
  for (const pid of processTree(root)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
    }
  }
}
