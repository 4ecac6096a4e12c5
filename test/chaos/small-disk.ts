import { closeSync, mkdirSync, openSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "@tripod/base";
import { allocate } from "@tripod/linux";

/** A file system of its own, in a file, that can be filled. */
export interface SmallDisk {
  /** Where it is mounted; unmounting is the caller's. */
  readonly path: string;
  /** Leaves so many bytes free, or as many as there are when that is fewer. */
  fill(freeBytes: number): void;
  /** Takes back what fill() took up. */
  empty(): void;
}

/** Makes an ext4 of `sizeBytes` in the folder `dir` and mounts it there; its loop device goes when it is unmounted. */
export async function smallDisk(dir: string, sizeBytes: number): Promise<SmallDisk> {
  const [file, path] = [join(dir, "disk.ext4"), join(dir, "disk")];
  mkdirSync(path);
  await runCommand("truncate", ["-s", String(sizeBytes), file]);
  await runCommand("mkfs.ext4", ["-q", "-m", "0", "-E", "lazy_itable_init=1", file]);
  await runCommand("mount", ["-o", "loop", file, path]);
  const ballast = join(path, "ballast");
  return {
    path,
    fill(freeBytes) {
      const { bavail, bsize } = statfsSync(path);
      const lengthBytes = bavail * bsize - freeBytes;
      if (lengthBytes <= 0) return;
      const fd = openSync(ballast, "w");
      try {
        allocate(fd, { lengthBytes });
      } finally {
        closeSync(fd);
      }
    },
    empty: () => rmSync(ballast, { force: true }),
  };
}
