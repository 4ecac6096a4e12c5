import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Layout, TripodError } from "@tripod/base";

/** What the folders of an instance hold, by what the layout says and what its commands write beside that. */
function ownNames(layout: Layout, folder: string): ReadonlySet<string> {
  const fromLayout = Object.values(layout).filter(
    (path): path is string => typeof path === "string" && dirname(path) === folder,
  );
  const more =
    folder === layout.libDir
      ? ["apiserver-port", "container-volumes", "kubelet-port", "lock", "log", "pod-cidr"]
      : ["cdi", "exits", "handlers", "image-mounts", "mounts", "nri", "oci", "tripod.pid", "userns-probe"];
  return new Set([...fromLayout.map((path) => basename(path)), ...more]);
}

/** A file that a crash cut off while it was being written is called `NAME.…` or `.NAME…`. */
const isOwn = (entry: string, names: ReadonlySet<string>): boolean =>
  names.has(entry) || [...names].some((name) => entry.startsWith(`${name}.`) || entry.startsWith(`.${name}`));

/**
 * Refuses a --root in whose folders something lives that is not ours, as with `--root /usr`: `tripod down` removes those folders whole.
 * `what` begins the error.
 */
export function requireOwnFolder(layout: Layout, what: string): void {
  if (layout.root === undefined) return;
  for (const folder of [layout.libDir, layout.runDir]) {
    if (!existsSync(folder)) continue;
    const names = ownNames(layout, folder);
    const foreign = readdirSync(folder).find((entry) => !isOwn(entry, names));
    if (foreign === undefined) continue;
    throw new TripodError(
      "failed-precondition",
      `${what}: ${join(folder, foreign)} is not Tripod's; choose a --root that is empty, or one that tripod up made`,
    );
  }
  if (existsSync(layout.libDir)) return;
  for (const folder of [layout.kubeletDir, layout.podLogsDir, layout.cniBinDir]) {
    // A driver may be there before its kubelet.
    if (!existsSync(folder) || readdirSync(folder).every((entry) => entry === "plugins_registry")) continue;
    throw new TripodError(
      "failed-precondition",
      `${what}: ${folder} has something in it, though no instance was ever brought up here; choose an empty --root`,
    );
  }
}
