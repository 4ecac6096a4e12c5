import { open, readdir } from "node:fs/promises";
import { runCommand } from "@tripod/base";

const tarTimeoutMs = 10 * 60_000;

/** Puts a folder's files into a tar that is on the disk when this resolves. */
export async function archiveFolder(folder: string, target: string): Promise<void> {
  await runCommand(
    "tar",
    [
      "--create",
      "--file",
      target,
      "--sparse",
      "--numeric-owner",
      "--directory",
      folder,
      "--",
      ...(await readdir(folder)),
    ],
    { timeoutMs: tarTimeoutMs },
  );
  const file = await open(target, "r+");
  try {
    await file.chmod(0o600);
    await file.sync();
  } finally {
    await file.close();
  }
}
