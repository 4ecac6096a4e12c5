import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";

/** The absolute path of a storage's state folder, in which the folders of these names now are; none but its owner enters them. */
export function makeStateFolders(stateDir: string, names: readonly string[]): string {
  const dir = resolve(stateDir);
  for (const name of names) mkdirSync(join(dir, name), { recursive: true, mode: 0o700 });
  return dir;
}
