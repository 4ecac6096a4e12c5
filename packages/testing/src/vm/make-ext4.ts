import { truncate, writeFile } from "node:fs/promises";
import { runCommand } from "@tripod/base";

/** Room to write, which costs nothing before it is written. */
const imageBytes = 4 * 1024 ** 3;

/** Makes a disk image of what is in `folder`. */
export async function makeExt4(image: string, folder: string): Promise<void> {
  await writeFile(image, "");
  await truncate(image, imageBytes);
  const options = [
    "-q",
    "-t",
    "ext4",
    "-O",
    "^has_journal",
    "-m",
    "0",
    "-E",
    "lazy_itable_init=1",
    "-d",
    folder,
    image,
  ];
  await runCommand("mke2fs", options, { timeoutMs: 300_000 });
}
