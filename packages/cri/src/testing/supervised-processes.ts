import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";

/** A conmon or a runc that works below a root at this moment. */
export interface SupervisedProcess {
  readonly kind: "conmon" | "runc";
  readonly pid: number;
  /** The container that it works for. */
  readonly containerId: string;
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // it ended since readdir
  }
}

/** The supervisors and runtime commands that work below `root`. */
export function supervisedProcesses(root: string): SupervisedProcess[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name): SupervisedProcess[] => {
      const words = commandLine(name);
      const kind = basename(words[0] ?? "");
      if ((kind !== "conmon" && kind !== "runc") || !words.some((word) => word.includes(`${root}/`))) return [];
      const containerId = words.find((word) => /^[0-9a-f]{64}(-init)?$/.test(word)) ?? "";
      return [{ kind, pid: Number(name), containerId }];
    });
}
