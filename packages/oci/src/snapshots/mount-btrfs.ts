import { execFileSync } from "node:child_process";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { mount, withLoop } from "@tripod/linux";

/** For tests: mounts a new btrfs of 256 MiB, made in the file `disk`, at the new folder `target`; unmounting it is the caller's. */
export function mountBtrfs(target: string, disk: string): void {
  mkdirSync(target);
  writeFileSync(disk, "");
  truncateSync(disk, 256 * 1024 * 1024);
  execFileSync("mkfs.btrfs", ["-q", disk]);
  // Removed subvolumes go when the next transaction does, every so many seconds.
  withLoop(disk, (device) => mount({ source: device, target, type: "btrfs", data: "commit=1" }));
}
