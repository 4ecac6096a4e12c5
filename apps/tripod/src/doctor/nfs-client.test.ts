import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { runCommand } from "@tripod/base";
import { fuseProblem } from "@tripod/linux";
import { nfsClientCheck } from "./nfs-client.ts";

const kernelHasNfs = (): boolean => /\tnfs4$/m.test(readFileSync("/proc/filesystems", "utf8"));

test("it is told who mounts NFS volumes here: the kernel, at once or by its module, else a process of Tripod's", async () => {
  const [before] = nfsClientCheck();
  const hadNfs = kernelHasNfs();
  // A machine without modprobe has no modules to load: what the kernel then has is asked below.
  await runCommand("modprobe", ["--quiet", "nfs"], { okExitCodes: "any" }).catch(() => undefined);
  if (hadNfs) assert.match(before?.found ?? "", /^the kernel's$/);
  else if (kernelHasNfs()) assert.match(before?.found ?? "", /^the kernel's, its module nfs is loaded when needed$/);
  else if (fuseProblem() === undefined) assert.match(before?.found ?? "", /^the kernel has none; Tripod's own/);
  else assert.equal(before?.status, "warn");
  if (kernelHasNfs()) assert.equal(nfsClientCheck()[0]?.found, "the kernel's");
});
