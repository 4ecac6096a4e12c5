import { opendir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { failpoint, isNodeError, runCommand } from "@tripod/base";
import { deleteSubvolume, isErrno, isSubvolume } from "@tripod/linux";
import type { ByteString } from "../tar/tar-entry.ts";
import { bytesOf, toByteString } from "../unpack/entry-path.ts";

/** Where a home may have subvolumes: a tree is `root` of its own home. */
const places = ["limited", "root", "tree/root", "making/root"];

/** Removes the home of a writable or of a tree, unmounted, with the subvolumes in it; absent is no error. */
export async function removeHome(home: string): Promise<void> {
  for (const place of places) {
    const folder = join(home, place);
    if (!isSubvolume(folder)) continue;
    await deleteSubvolumes(toByteString(folder));
    failpoint("oci.writable.subvolume-deleted");
  }
  try {
    await rm(home, { recursive: true, force: true });
  } catch (error) {
    if (!isNodeError(error, "ENAMETOOLONG")) throw error;
    await runCommand("rm", ["-rf", "--", home], { timeoutMs: 3_600_000 }); // which goes down folder by folder
  }
}

/** Paths up to here leave room for a name below them. */
const longPath = 3072;

/** Whoever may write to a folder of btrfs may make subvolumes in it, read-only ones too; these go first. */
async function deleteSubvolumes(folder: ByteString): Promise<void> {
  try {
    return await deleteSubvolume(bytesOf(folder));
  } catch (error) {
    if (!isErrno(error, "ENOTEMPTY")) throw error;
  }
  let deep = 0;
  const folders = [folder];
  for (let below = folders.pop(); below !== undefined; below = folders.pop()) {
    for await (const entry of await opendir(bytesOf(below), { encoding: "latin1" })) {
      const path = `${below}/${entry.name}`;
      if (!entry.isDirectory()) continue;
      if (isSubvolume(bytesOf(path))) await deleteSubvolumes(path);
      else if (path.length < longPath) folders.push(path);
      else {
        deep += 1;
        const higher = `${folder}/.tripod-deep-${deep}`;
        await rename(bytesOf(path), bytesOf(higher));
        folders.push(higher);
      }
    }
  }
  await deleteSubvolume(bytesOf(folder));
}
