import { type Layout, messageOf } from "@tripod/base";
import { cgroupChecks } from "./cgroups.ts";
import { type Check, fail } from "./check.ts";
import { folderChecks } from "./folders.ts";
import { kernelFeatureChecks } from "./kernel-features.ts";
import { limitChecks } from "./limits.ts";
import { nfsClientCheck } from "./nfs-client.ts";
import { networkChecks } from "./network.ts";
import { privilegeChecks } from "./privileges.ts";
import { programChecks } from "./programs.ts";

const groups: Readonly<Record<string, (layout: Layout) => Check[] | Promise<Check[]>>> = {
  privileges: privilegeChecks,
  "kernel features": kernelFeatureChecks,
  programs: () => programChecks(),
  cgroups: cgroupChecks,
  network: networkChecks,
  folders: folderChecks,
  "NFS client": nfsClientCheck,
  limits: limitChecks,
};

/**
 * Looks at everything that an instance with this layout needs of the machine. Changes nothing: what it tries out, it does in a
 * namespace and in folders of its own, which are gone afterwards. Never throws: what cannot be looked at is a failed check.
 */
export async function runChecks(layout: Layout): Promise<Check[]> {
  const checks: Check[] = [];
  for (const [name, run] of Object.entries(groups)) {
    try {
      checks.push(...(await run(layout)));
    } catch (error) {
      checks.push(fail(name, messageOf(error), "this could not be looked at; run as root"));
    }
  }
  return checks;
}
