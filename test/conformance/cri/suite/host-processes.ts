import { readdirSync, readFileSync } from "node:fs";

/** The processes of this machine one of whose words is `word`, as far as they can be seen from here. */
export function processesWith(word: string): number[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
      return words.includes(word) ? [Number(name)] : [];
    } catch {
      return []; // it ended since readdir
    }
  });
}

/** Its cgroups, one path for each hierarchy. */
export const cgroupsOf = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/cgroup`, "utf8")
    .trim()
    .split("\n")
    .map((line) => line.split(":").slice(2).join(":"));
