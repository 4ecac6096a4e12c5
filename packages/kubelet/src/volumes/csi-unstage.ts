import { rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { failpoint, isNodeError } from "@tripod/base";
import { blockDataDir, blockDir, blockStagingPath, volDataPath } from "./csi-paths.ts";
import type { CsiContext } from "./csi-publication.ts";
import { entriesOf } from "./folder-entries.ts";
import { removeMountFolder, removeTree } from "./remove-tree.ts";
import type { VolData } from "./vol-data.ts";

/** What the tear-down needs: nothing of the API server. */
export type CsiTearDownContext = Pick<CsiContext, "kubeletDir" | "drivers" | "locks" | "callTimeoutMs" | "log">;

async function callUnstage(
  data: VolData,
  stagingTargetPath: string,
  { drivers, callTimeoutMs: timeoutMs }: CsiTearDownContext,
  signal: AbortSignal,
): Promise<void> {
  const driver = drivers.get(data.driverName);
  if ((await driver.capabilities(signal)).stage) {
    await driver.node.nodeUnstageVolume({ volumeId: data.volumeHandle, stagingTargetPath }, { signal, timeoutMs });
  }
  failpoint("kubelet.csi.unstaged");
}

/** Unstages a volume that nobody on this node uses any more; `path` is its globalmount. Under the volume's lock. */
export async function unstageFolder(
  data: VolData,
  path: string,
  context: CsiTearDownContext,
  signal: AbortSignal,
): Promise<void> {
  if ((await entriesOf(dirname(path))).length === 0) return;
  await callUnstage(data, path, context, signal);
  await removeMountFolder(path);
  // The facts go last: an interrupted tear-down finds them and does everything again.
  await rm(volDataPath(path), { force: true });
  await removeTree(dirname(path));
}

/** As unstageFolder(), for a block volume. */
export async function unstageBlock(
  specName: string,
  data: VolData,
  context: CsiTearDownContext,
  signal: AbortSignal,
): Promise<void> {
  const { kubeletDir } = context;
  const staging = blockStagingPath(kubeletDir, specName);
  const parent = dirname(staging);
  if ((await entriesOf(parent)).includes(specName)) await callUnstage(data, staging, context, signal);
  await removeMountFolder(staging);
  await rmdir(join(blockDir(kubeletDir), "publish", specName)).catch((error: unknown) => {
    if (!isNodeError(error, "ENOENT")) throw error;
  });
  await removeTree(dirname(blockDataDir(kubeletDir, specName)));
}
