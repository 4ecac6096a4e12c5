import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { fuseProblem } from "@tripod/linux";
import { type Check, ok, warn } from "./check.ts";

const name = "NFS client";

/** How nfs.csi.tripod.dev would mount shares on this node. */
export function nfsClientCheck(): Check[] {
  if (/\bnfs4?$/m.test(readFileSync("/proc/filesystems", "utf8"))) return [ok(name, "the kernel's")];
  const modules = `/lib/modules/${release()}/modules.dep`;
  if (existsSync(modules) && /\/nfs\.ko/.test(readFileSync(modules, "utf8")))
    return [ok(name, "the kernel's, its module nfs is loaded when needed")];
  const problem = fuseProblem();
  return [
    problem === undefined
      ? ok(name, "the kernel has none; Tripod's own over /dev/fuse, for NFS 4.1 and without locks between nodes")
      : warn(
          name,
          `the kernel has none, and ${problem}: NFS volumes cannot be mounted`,
          "load the kernel's module nfs, or fuse",
        ),
  ];
}
