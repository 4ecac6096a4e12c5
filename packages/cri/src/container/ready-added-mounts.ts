import { realpathSync } from "node:fs";
import { messageOf, TripodError } from "@tripod/base";
import type { RuntimeSpec } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import type { PlannedBind } from "./binds.ts";
import { readyMounts, type ReadyMountsOptions, readyMountsFolder } from "./ready-mounts.ts";

type MountSpec = RuntimeSpec["mounts"][number];

/** What a mount has by itself once it is ready; the others stay for the low-level runtime. */
const madeReady: ReadonlySet<string> = new Set(["ro", "rw", "rro", "nosuid", "nodev", "noexec"]);

const isBind = ({ type, options }: MountSpec): boolean =>
  type === "bind" || options.includes("bind") || options.includes("rbind");

function planAdded({ destination, source, options }: MountSpec): PlannedBind {
  const has = (...names: string[]): boolean => names.some((name) => options.includes(name));
  if (has("shared", "rshared")) {
    throw new TripodError(
      "failed-precondition",
      `mount ${destination}: mounts of a Pod with a user namespace do not reach the host; whoever adds it must leave rshared, or the Pod set hostUsers`,
    );
  }
  try {
    return {
      destination,
      source: realpathSync(source),
      readonly: has("ro", "rro"),
      recursiveReadonly: has("rro"),
      propagation: has("slave", "rslave") ? "host-to-container" : "private",
      options: options.filter((option) => ["nosuid", "nodev", "noexec"].includes(option)),
      idMapped: true,
    };
  } catch (cause) {
    throw new TripodError("failed-precondition", `mount ${destination}: ${messageOf(cause)}`, { cause });
  }
}

/**
 * In a user namespace, the binds that CDI devices and plugins have added to config.json made ready, and id-mapped, as a volume's are; what
 * stands in `before` is so already.
 */
export async function readyAddedMounts(
  context: CriContext,
  spec: RuntimeSpec,
  options: ReadyMountsOptions & { readonly before: readonly MountSpec[]; readonly prefix: string },
): Promise<RuntimeSpec> {
  if (options.idMap === undefined) return spec;
  const made = `${readyMountsFolder(context, options.containerId)}/`;
  const added = spec.mounts.filter(
    (mount) => isBind(mount) && !options.before.includes(mount) && !mount.source.startsWith(made),
  );
  if (added.length === 0) return spec;
  const ready = await readyMounts(context, added.map(planAdded), options);
  const replacements = new Map(
    added.map((mount, index): [MountSpec, MountSpec] => [
      mount,
      {
        ...mount,
        source: ready[index]?.source ?? mount.source,
        options: mount.options.filter((option) => !madeReady.has(option)),
      },
    ]),
  );
  return { ...spec, mounts: spec.mounts.map((mount) => replacements.get(mount) ?? mount) };
}
