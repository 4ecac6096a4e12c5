import { readdirSync, readFileSync } from "node:fs";

interface ProcessFact {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  readonly commandLine: string;
}

function processes(): ProcessFact[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      return [
        {
          pid: Number(entry),
          parent,
          name,
          commandLine: readFileSync(`/proc/${entry}/cmdline`, "utf8").replaceAll("\0", " "),
        },
      ];
    } catch {
      return []; // it ended while we looked
    }
  });
}

/** The proportional set size of one process, in bytes. */
function pssBytes(pid: number): number {
  try {
    return Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0) * 1024;
  } catch {
    return 0; // it ended while we looked
  }
}

export interface MemoryUse {
  readonly daemonBytes: number;
  /** conmon's or the shims'. */
  readonly supervisorBytes: number;
  readonly supervisors: number;
}

/** The PSS of a daemon and of the supervisors whose command line mentions `dir`. */
export function memoryUse(daemonPid: number, supervisorName: RegExp, dir: string): MemoryUse {
  const supervisors = processes().filter((each) => supervisorName.test(each.name) && each.commandLine.includes(dir));
  return {
    daemonBytes: pssBytes(daemonPid),
    supervisorBytes: supervisors.reduce((sum, each) => sum + pssBytes(each.pid), 0),
    supervisors: supervisors.length,
  };
}
