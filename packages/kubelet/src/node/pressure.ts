import { readFile, statfs } from "node:fs/promises";

/** Which of the machine's resources have run short. */
export interface Pressure {
  readonly memory: boolean;
  readonly disk: boolean;
  readonly pids: boolean;
}

/** Upstream's thresholds for a hard eviction. */
const minMemoryBytes = 100 * 1024 * 1024;
const minDiskShare = 0.1;
const minInodeShare = 0.05;
/** Share of the process numbers in use from which new processes are at risk. */
const maxPidShare = 0.95;

/** Looks at memory, the disk under `dataDir` and process numbers. */
export async function readPressure(dataDir: string): Promise<Pressure> {
  const memory = await readFile("/proc/meminfo", "utf8");
  const availableBytes = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(memory)?.[1] ?? Number.POSITIVE_INFINITY) * 1024;
  const disk = await statfs(dataDir);
  const processes = Number(/\/(\d+) /.exec(await readFile("/proc/loadavg", "utf8"))?.[1] ?? 0);
  const pidMax = Number(await readFile("/proc/sys/kernel/pid_max", "utf8"));
  return {
    memory: availableBytes < minMemoryBytes,
    disk: disk.bavail / disk.blocks < minDiskShare || (disk.files > 0 && disk.ffree / disk.files < minInodeShare),
    pids: processes / pidMax > maxPidShare,
  };
}
