import { readdir, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { failpoint, type KeyedMutex } from "@tripod/base";
import { isMountPoint, unmount } from "@tripod/linux";
import type { CsiDrivers } from "./csi-drivers.ts";
import {
  blockDataDir,
  blockDir,
  blockPublishPath,
  blockStagingPath,
  csiPlugin,
  publishPath,
  stagingPath,
} from "./csi-paths.ts";
import { entriesOf } from "./folder-entries.ts";
import { podsDirOf } from "./pod-paths.ts";
import { readVolData, type VolData } from "./vol-data.ts";

const callTimeoutMs = 120_000;

export interface CsiTearDownContext {
  readonly kubeletDir: string;
  readonly drivers: CsiDrivers;
  /** Held by volume while it is staged, published or taken down: the last one to leave must not meet the next one to come. */
  readonly locks: KeyedMutex;
}

/** Removes a folder that a driver should have emptied; what is still mounted there is detached first. */
async function removeMountFolder(path: string): Promise<void> {
  if (isMountPoint(path)) unmount(path, { detach: true, noFollow: true });
  try {
    await rmdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException; // fs errors are ErrnoExceptions
    if (code === "ENOTDIR") await rm(path, { force: true });
    // Never recursively: were something still mounted, its data would go.
    else if (code !== "ENOENT") throw error;
  }
}

/** A CSI volume's folder in a Pod's folder. */
interface Place {
  readonly podUid: string;
  readonly specName: string;
}

/** Whether another Pod folder on this node has the volume published, or is about to. */
async function isPublishedElsewhere(kubeletDir: string, data: VolData, here: Place): Promise<boolean> {
  for (const uid of await entriesOf(podsDirOf(kubeletDir))) {
    for (const specName of await entriesOf(join(podsDirOf(kubeletDir), uid, "volumes", csiPlugin))) {
      if (uid === here.podUid && specName === here.specName) continue;
      const other = await readVolData(publishPath(kubeletDir, uid, specName)).catch(() => undefined);
      if (other?.driverName === data.driverName && other.volumeHandle === data.volumeHandle) return true;
    }
  }
  return false;
}

/** Unstages the volume when nobody on this node uses it any more. */
async function unstageIfLast(
  data: VolData,
  here: Place,
  context: CsiTearDownContext,
  signal: AbortSignal,
): Promise<void> {
  const { kubeletDir } = context;
  if (data.volumeLifecycleMode === "Ephemeral") return;
  const path = stagingPath(kubeletDir, data.driverName, data.volumeHandle);
  if ((await entriesOf(dirname(path))).length === 0 || (await isPublishedElsewhere(kubeletDir, data, here))) return;
  const driver = context.drivers.get(data.driverName);
  if ((await driver.capabilities(signal)).stage) {
    await driver.node.nodeUnstageVolume(
      { volumeId: data.volumeHandle, stagingTargetPath: path },
      { signal, timeoutMs: callTimeoutMs },
    );
  }
  failpoint("kubelet.csi.unstaged");
  await removeMountFolder(path);
  await rm(dirname(path), { recursive: true, force: true });
}

/** Takes one CSI volume away from a Pod, from what is on disk alone. Idempotent. */
export async function tearDownCsiVolume(
  podUid: string,
  specName: string,
  context: CsiTearDownContext,
  signal: AbortSignal,
): Promise<void> {
  const data = await readVolData(publishPath(context.kubeletDir, podUid, specName));
  const key = data === undefined ? specName : `${data.driverName}^${data.volumeHandle}`;
  await context.locks.run(key, () => tearDownLocked({ podUid, specName }, data, context, signal));
}

async function tearDownLocked(
  { podUid, specName }: Place,
  data: VolData | undefined,
  context: CsiTearDownContext,
  signal: AbortSignal,
): Promise<void> {
  const target = publishPath(context.kubeletDir, podUid, specName);
  if (data !== undefined) {
    await context.drivers
      .get(data.driverName)
      .node.nodeUnpublishVolume(
        { volumeId: data.volumeHandle, targetPath: target },
        { signal, timeoutMs: callTimeoutMs },
      );
    failpoint("kubelet.csi.unpublished");
  }
  // Without vol_data.json nobody knows the driver: the mount itself can still be taken away, so that the Pod is not stuck.
  await removeMountFolder(target);
  if (data !== undefined) await unstageIfLast(data, { podUid, specName }, context, signal);
  // vol_data.json goes last: an interrupted tear-down finds it and does everything again.
  await rm(dirname(target), { recursive: true, force: true });
}

/** Takes away every block volume that was published for the Pod. */
export async function tearDownBlockVolumes(
  podUid: string,
  context: CsiTearDownContext,
  signal: AbortSignal,
): Promise<void> {
  const { kubeletDir, drivers } = context;
  for (const specName of await entriesOf(join(blockDir(kubeletDir), "publish"))) {
    const published = join(blockDir(kubeletDir), "publish", specName);
    if (!(await entriesOf(published)).includes(podUid)) continue;
    const data = await readVolData(join(blockDataDir(kubeletDir, specName), "any"));
    const target = blockPublishPath(kubeletDir, specName, podUid);
    if (data !== undefined) {
      const driver = drivers.get(data.driverName);
      await driver.node.nodeUnpublishVolume(
        { volumeId: data.volumeHandle, targetPath: target },
        { signal, timeoutMs: callTimeoutMs },
      );
      await removeMountFolder(target);
      if ((await readdir(published)).length === 0) {
        const staging = blockStagingPath(kubeletDir, specName);
        if ((await driver.capabilities(signal)).stage) {
          await driver.node.nodeUnstageVolume(
            { volumeId: data.volumeHandle, stagingTargetPath: staging },
            { signal, timeoutMs: callTimeoutMs },
          );
        }
        await removeMountFolder(staging);
        await rm(dirname(blockDataDir(kubeletDir, specName)), { recursive: true, force: true });
      }
    } else await removeMountFolder(target);
    if ((await entriesOf(published)).length === 0) await rm(published, { recursive: true, force: true });
  }
}
