import { accessSync, closeSync, constants, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { CniError, cniCodes } from "./cni-error.ts";

/** Stands in the first 1024 bytes of every plugin executable that Tripod installs. */
export const pluginMarker = "tripod-cni-plugin";

const known = new Map<string, { readonly stamp: string; readonly own: boolean }>();

/** Whether the executable at `path` is one of Tripod's own, by its marker; remembered until the file changes. */
export function isOwnPlugin(path: string): boolean {
  const { ino, size, mtimeNs } = statSync(path, { bigint: true });
  const stamp = `${ino}:${size}:${mtimeNs}`;
  const remembered = known.get(path);
  if (remembered?.stamp === stamp) return remembered.own;
  const file = openSync(path, "r");
  try {
    const head = Buffer.alloc(1024);
    const length = readSync(file, head, 0, head.length, 0);
    const own = head.subarray(0, length).includes(pluginMarker);
    known.set(path, { stamp, own });
    return own;
  } finally {
    closeSync(file);
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // absent, a folder, or not for us to run: looked for in the next folder
  }
}

/** The path of the executable `type` in the first of `dirs` that has one; undefined when none has. */
export function findPlugin(type: string, dirs: readonly string[]): string | undefined {
  if (type === "" || type.includes("/") || type === "." || type === "..")
    throw new CniError(
      cniCodes.invalidConfig,
      `plugin type ${JSON.stringify(type.slice(0, 80))} is no executable's name`,
    );
  return dirs.map((dir) => join(dir, type)).find(isExecutable);
}
