import { readFile, statfs } from "node:fs/promises";
import { type HugePagePool, hugePagePools } from "@tripod/linux";
import { arch, cpus, release, totalmem } from "node:os";

/** What the kernel and the disk say about this machine. */
export interface Machine {
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly hugePages: readonly HugePagePool[];
  /** Go's name: amd64, arm64. */
  readonly architecture: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly machineId: string;
  readonly bootId: string;
  readonly systemUuid: string;
}

const goArchitectures: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };

const lineOf = async (path: string): Promise<string> => (await readFile(path, "utf8").catch(() => "")).trim();

/** Reads the machine's facts; `dataDir` is on the disk whose size counts. */
export async function readMachine(dataDir: string): Promise<Machine> {
  const osRelease = await lineOf("/etc/os-release");
  const disk = await statfs(dataDir);
  const machineId = await lineOf("/etc/machine-id");
  return {
    cpuCount: cpus().length,
    memoryBytes: totalmem(),
    hugePages: hugePagePools(),
    diskBytes: disk.blocks * disk.bsize,
    architecture: goArchitectures[arch()] ?? arch(),
    kernelVersion: release(),
    osImage: /^PRETTY_NAME="?(.*?)"?$/m.exec(osRelease)?.[1] ?? "Linux",
    machineId,
    bootId: await lineOf("/proc/sys/kernel/random/boot_id"),
    systemUuid: (await lineOf("/sys/class/dmi/id/product_uuid")) || machineId,
  };
}
