import { readdir } from "node:fs/promises";

/** The names in a folder, sorted; none when there is no such folder. */
export async function entriesOf(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).toSorted();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException; // fs errors are ErrnoExceptions
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}
