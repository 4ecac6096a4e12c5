import { type Layout, messageOf } from "@tripod/base";
import { type SnapshotterKind, snapshotterProblem } from "@tripod/oci";
import { loadConfig } from "../node/config.ts";
import { type Check, fail, ok } from "./check.ts";
import { nearestFolder } from "./nearest-folder.ts";

/** Makes a root file system where snapshots will be, in the way that is configured. */
export async function snapshotterCheck(layout: Layout): Promise<Check> {
  const name = "snapshotter";
  let kind: SnapshotterKind;
  try {
    kind = loadConfig(layout).cri.snapshotter ?? "overlay";
  } catch (error) {
    return fail(name, messageOf(error), `correct ${layout.configFile}`);
  }
  const folder = nearestFolder(layout.snapshotsDir);
  try {
    const found = await snapshotterProblem(kind, folder);
    return found === undefined
      ? ok(name, `${kind} works at ${folder}`)
      : fail(name, `${kind}: ${found.problem}`, found.remedy);
  } catch (error) {
    return fail(name, `${kind}: ${messageOf(error)}`, `run as root; make ${folder} a folder that can be written`);
  }
}
