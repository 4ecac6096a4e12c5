import { readFileSync } from "node:fs";
import { runCommand } from "@tripod/base";

const kernelHas = (): boolean => /\bnfs4?$/m.test(readFileSync("/proc/filesystems", "utf8"));

/** Whether the kernel is an NFS client, its module loaded where it is one. */
export async function kernelHasNfs(): Promise<boolean> {
  if (kernelHas()) return true;
  // A machine without the module, or without modprobe, has none; the next line tells.
  await runCommand("modprobe", ["--quiet", "nfs"], { okExitCodes: "any" }).catch(() => undefined);
  return kernelHas();
}
