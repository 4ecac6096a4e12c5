import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { failpoint } from "@tripod/base";
import { blockDataDir, blockHeldPath, blockPublishPath, podDevicePath, publishPath, stagingPath } from "./csi-paths.ts";
import { volumeKey } from "./csi-publication.ts";
import { type CsiTearDownContext, unstageBlock, unstageFolder } from "./csi-unstage.ts";
import { blockUsers, publishedFolders } from "./csi-users.ts";
import { releaseDevice } from "./held-device.ts";
import { removeMountFolder, removeTree } from "./remove-tree.ts";
import { readVolData, type VolData } from "./vol-data.ts";

export type { CsiTearDownContext } from "./csi-unstage.ts";

/** The key by which a volume is locked; a mount of which nobody knows what it is has its own name. */
export const lockKeyOf = (data: VolData | undefined, specName: string): string =>
  data === undefined ? specName : volumeKey({ driver: data.driverName, handle: data.volumeHandle });

async function unpublish(data: VolData, targetPath: string, context: CsiTearDownContext, signal: AbortSignal) {
  const { drivers, callTimeoutMs: timeoutMs } = context;
  const driver = drivers.get(data.driverName);
  await driver.node.nodeUnpublishVolume({ volumeId: data.volumeHandle, targetPath }, { signal, timeoutMs });
  failpoint("kubelet.csi.unpublished");
}

/** Takes one CSI volume away from a Pod, from what is on disk alone. Idempotent. */
export async function tearDownCsiVolume(
  podUid: string,
  specName: string,
  context: CsiTearDownContext,
  signal: AbortSignal,
): Promise<void> {
  const { kubeletDir } = context;
  const target = publishPath(kubeletDir, podUid, specName);
  const data = await readVolData(target);
  await context.locks.run(lockKeyOf(data, specName), async () => {
    if (data !== undefined) await unpublish(data, target, context, signal);
    // Without vol_data.json nobody knows the driver: the mount itself can still be taken away, so that the Pod is not stuck.
    await removeMountFolder(target);
    if (data?.volumeLifecycleMode === "Persistent") {
      const { driverName, volumeHandle } = data;
      const elsewhere = (await publishedFolders(kubeletDir)).some(
        (each) =>
          each.data.driverName === driverName &&
          each.data.volumeHandle === volumeHandle &&
          (each.podUid !== podUid || each.specName !== specName),
      );
      if (!elsewhere) await unstageFolder(data, stagingPath(kubeletDir, driverName, volumeHandle), context, signal);
    }
    // vol_data.json goes last: an interrupted tear-down finds it and does everything again.
    await removeTree(dirname(target));
  });
}

/** Takes away every block volume that was published for the Pod, or was about to be. Every one is tried. */
export async function tearDownBlockVolumes(
  podUid: string,
  context: CsiTearDownContext,
  signal: AbortSignal,
): Promise<void> {
  const failures: unknown[] = [];
  for (const [specName, users] of await blockUsers(context.kubeletDir)) {
    if (!users.has(podUid)) continue;
    await tearDownBlockVolume(podUid, specName, context, signal).catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw new AggregateError(failures, "");
}

async function tearDownBlockVolume(
  podUid: string,
  specName: string,
  context: CsiTearDownContext,
  signal: AbortSignal,
): Promise<void> {
  const { kubeletDir } = context;
  const target = blockPublishPath(kubeletDir, specName, podUid);
  const data = await readVolData(join(blockDataDir(kubeletDir, specName), "any"));
  await context.locks.run(lockKeyOf(data, specName), async () => {
    await releaseDevice(blockHeldPath(kubeletDir, specName, podUid));
    if (data !== undefined) await unpublish(data, target, context, signal);
    await removeMountFolder(target);
    const left = (await blockUsers(kubeletDir)).get(specName) ?? new Set();
    left.delete(podUid);
    if (data !== undefined && left.size === 0) await unstageBlock(specName, data, context, signal);
    await rm(podDevicePath(kubeletDir, podUid, specName), { force: true });
  });
}
