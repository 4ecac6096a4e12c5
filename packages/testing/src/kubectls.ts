import { existsSync, readdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";

/** A kubectl of this machine: its minor version ("1.33", "default") and its path. */
export interface Kubectl {
  readonly version: string;
  readonly path: string;
}

/** Every kubectl of this machine: the one on PATH and the versioned ones beside it, oldest first. */
export function findKubectls(): Kubectl[] {
  const found = (process.env.PATH ?? "")
    .split(":")
    .map((dir) => join(dir, "kubectl"))
    .find((path) => existsSync(path));
  if (found === undefined) return [];
  const real = realpathSync(found);
  const beside = readdirSync(dirname(real)).flatMap((name) => {
    const version = /^kubectl\.(\d+\.\d+)$/.exec(name)?.[1];
    return version === undefined ? [] : [{ version, path: join(dirname(real), name) }];
  });
  return [
    ...beside.sort((a, b) => a.version.localeCompare(b.version, undefined, { numeric: true })),
    { version: "default", path: real },
  ];
}

/** Why a test that needs kubectl is skipped here; undefined where one was found. */
export const noKubectl: string | undefined =
  findKubectls().length > 0 ? undefined : "this machine has no kubectl on its PATH";
