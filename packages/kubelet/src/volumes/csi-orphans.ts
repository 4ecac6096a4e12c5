import { dirname, join } from "node:path";
import { messageOf } from "@tripod/base";
import { blockDataDir, blockDir, csiDir, isBlockSpec } from "./csi-paths.ts";
import { lockKeyOf } from "./csi-tear-down.ts";
import { type CsiTearDownContext, unstageBlock, unstageFolder } from "./csi-unstage.ts";
import { blockUsers, publishedFolders } from "./csi-users.ts";
import { entriesOf } from "./folder-entries.ts";
import { removeTree } from "./remove-tree.ts";
import { readVolData, type VolData } from "./vol-data.ts";

/** A volume that is staged on this node; without `data` nobody knows whose it is. */
export type StagedVolume =
  | { readonly kind: "folder"; readonly path: string; readonly data: VolData | undefined }
  | { readonly kind: "block"; readonly path: string; readonly data: VolData | undefined; readonly specName: string };

/** Everything that the disk says is staged. */
export async function stagedVolumes(kubeletDir: string): Promise<StagedVolume[]> {
  const found: StagedVolume[] = [];
  for (const driver of await entriesOf(csiDir(kubeletDir))) {
    if (driver === "volumeDevices") continue;
    for (const name of await entriesOf(join(csiDir(kubeletDir), driver))) {
      const path = join(csiDir(kubeletDir), driver, name, "globalmount");
      found.push({ kind: "folder", path, data: await readVolData(path).catch(() => undefined) });
    }
  }
  const names = [
    ...(await entriesOf(blockDir(kubeletDir))),
    ...(await entriesOf(join(blockDir(kubeletDir), "staging"))),
  ];
  for (const specName of new Set(names)) {
    if (!isBlockSpec(specName)) continue;
    const data = await readVolData(join(blockDataDir(kubeletDir, specName), "any")).catch(() => undefined);
    found.push({ kind: "block", path: join(blockDir(kubeletDir), "staging", specName), data, specName });
  }
  return found;
}

async function isUsed(volume: StagedVolume, kubeletDir: string): Promise<boolean> {
  if (volume.kind === "block") return ((await blockUsers(kubeletDir)).get(volume.specName)?.size ?? 0) > 0;
  return (await publishedFolders(kubeletDir)).some(
    ({ data }) => data.driverName === volume.data?.driverName && data.volumeHandle === volume.data.volumeHandle,
  );
}

/**
 * Unstages what no Pod of this node uses: left by a kubelet that died, or by another before this one. Every one is tried; the result says
 * of those that are still there, by path, why.
 */
export async function unstageOrphans(
  context: CsiTearDownContext,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const { kubeletDir, locks, log } = context;
  const left = new Map<string, string>();
  for (const volume of await stagedVolumes(kubeletDir)) {
    const { data, path } = volume;
    await locks.run(lockKeyOf(data, path), async () => {
      if (await isUsed(volume, kubeletDir)) return;
      try {
        if (data === undefined) {
          log.warn({ path }, "a staged volume of which nothing is known is unmounted without its driver");
          await removeTree(volume.kind === "block" ? path : dirname(path));
          if (volume.kind === "block") await removeTree(dirname(blockDataDir(kubeletDir, volume.specName)));
        } else if (volume.kind === "block") await unstageBlock(volume.specName, data, context, signal);
        else await unstageFolder(data, path, context, signal);
        log.info({ path, driver: data?.driverName, volume: data?.volumeHandle }, "unstaged a volume that no pod uses");
      } catch (error) {
        signal.throwIfAborted();
        left.set(path, messageOf(error));
      }
    });
  }
  return left;
}
