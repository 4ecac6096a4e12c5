import { readdirSync, readFileSync } from "node:fs";

/** What a process has used since it began, and what it holds now. */
export interface ProcessUse {
  /** All its processor time, in milliseconds; the kernel counts in steps of 10. */
  readonly cpuMs: number;
  /** How often its threads were put on a processor. */
  readonly contextSwitches: number;
  readonly rssBytes: number;
  readonly pssBytes: number;
  /** Held by it alone and by no file: heap and stacks. */
  readonly anonymousBytes: number;
}

const field = (text: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);

/** Reads proc(5) of a process that lives. */
export function processUse(pid: number): ProcessUse {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // from the third on: the second may hold spaces
  const [user = 0, system = 0] = fields.slice(11, 13).map(Number);
  const memory = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const contextSwitches = readdirSync(`/proc/${pid}/task`)
    .map((thread) => readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8"))
    .reduce((sum, each) => sum + field(each, "voluntary_ctxt_switches") + field(each, "nonvoluntary_ctxt_switches"), 0);
  return {
    cpuMs: (user + system) * 10, // USER_HZ is 100 on every architecture that Node runs on
    contextSwitches,
    rssBytes: field(memory, "Rss") * 1024,
    pssBytes: field(memory, "Pss") * 1024,
    anonymousBytes: field(memory, "Pss_Anon") * 1024,
  };
}

/** A process and all its descendants but those whose name is in `except`. */
export function processTree(pid: number, except: readonly string[] = []): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );
  const wanted = children.filter((child) => !except.includes(readFileSync(`/proc/${child}/comm`, "utf8").trim()));
  return [pid, ...wanted.flatMap((child) => processTree(child, except))];
}
