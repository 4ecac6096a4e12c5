import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isNodeError } from "@tripod/base";
import { cgroupChildren, killCgroup, removeCgroup } from "@tripod/linux";
import type { RuntimeSpec } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import { cgroupOfSpec, instanceCgroups } from "../runtime/cgroup-driver.ts";
import { removingRuntimeOf } from "../runtime/handler.ts";
import { sandboxPaths } from "../sandbox/paths.ts";
import { initId } from "../sandbox/shared-pid.ts";

/** Tries a step of reconciliation, and logs what came of it. */
export type Attempt = (what: string, id: string, work: () => unknown) => Promise<void>;

export const isId = (name: string): boolean => /^[0-9a-f]{64}$/.test(name);

const namesIn = (folder: string): string[] => {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return [];
    throw error;
  }
};

/** Ids of which low-level runtimes keep something, with the handlers that do. A file's name may go on after the id. */
function supervised(handlersDir: string): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const handler of namesIn(handlersDir)) {
    for (const name of [...namesIn(join(handlersDir, handler)), ...namesIn(join(handlersDir, handler, "tasks"))]) {
      const id = /^[0-9a-f]{64}(?:-init)?(?![0-9a-f])/.exec(name)?.[0];
      if (id !== undefined) found.set(id, (found.get(id) ?? new Set()).add(handler));
    }
  }
  return found;
}

/** The cgroup that a bundle's config.json names; undefined when nothing was made of it. */
function cgroupOfBundle(bundle: string): string | undefined {
  const file = join(bundle, "config.json");
  if (!existsSync(file)) return undefined;
  return cgroupOfSpec((JSON.parse(readFileSync(file, "utf8")) as RuntimeSpec).linux.cgroupsPath); // written by us
}

/**
 * Ends what runs without a record: containers, the inits of shared PID namespaces, their supervisors, and whatever is in a cgroup of a
 * sandbox of ours. They are found by bundles, by what low-level runtimes keep, and by cgroups.
 */
export async function endLost(context: CriContext, attempt: Attempt): Promise<void> {
  const { layout, sandboxes, containers } = context;
  const handlersDir = join(layout.runDir, "handlers");
  const initBundle = (id: string): string => sandboxPaths(context, { id, hostNetwork: true, hostIpc: true }).init;
  const states = supervised(handlersDir);
  const inits = namesIn(layout.sandboxesDir).filter((id) => isId(id) && existsSync(initBundle(id)));
  const ids = new Set([
    ...states.keys(),
    ...namesIn(layout.containersDir).filter(isId),
    ...inits.map((id) => initId({ id })),
  ]);
  for (const id of ids) {
    const sandbox = isId(id) ? undefined : id.slice(0, 64);
    if ((sandbox === undefined ? containers.find(id) : sandboxes.find(sandbox)) !== undefined) continue;
    const bundle = sandbox === undefined ? join(layout.containersDir, id) : initBundle(sandbox);
    // Of one that was killed before its runtime had kept anything only a supervisor can be there, of whichever handler.
    for (const handler of states.get(id) ?? namesIn(handlersDir)) {
      await attempt("reconcile: what ran without a record ended", id, () =>
        removingRuntimeOf(context, handler).delete({
          id,
          ...(existsSync(join(bundle, "config.json")) && { bundle }),
          cgroupsPath: cgroupOfBundle(bundle) ?? join(layout.cgroupParent, id),
        }),
      );
    }
  }
  for (const parent of instanceCgroups(layout)) {
    for (const name of cgroupChildren(parent)) {
      const id = /[0-9a-f]{64}/.exec(name)?.[0];
      if (id === undefined || sandboxes.find(id) !== undefined) continue;
      await attempt("reconcile: cgroup without a sandbox removed", id, async () => {
        await killCgroup(join(parent, name));
        await removeCgroup(join(parent, name));
      });
    }
  }
}
