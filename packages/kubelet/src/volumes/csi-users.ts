import { join } from "node:path";
import { blockDir, blockHeldDir, csiPlugin, isBlockSpec, podDevicesDir, publishPath } from "./csi-paths.ts";
import { entriesOf } from "./folder-entries.ts";
import { podPaths, podsDirOf } from "./pod-paths.ts";
import { readVolData, type VolData } from "./vol-data.ts";

/** A CSI volume's folder in a Pod's folder: published there, or about to be. */
export interface PublishedFolder {
  readonly podUid: string;
  readonly specName: string;
  readonly data: VolData;
}

/** What the Pod folders of this node say is published; a folder whose facts cannot be read is passed over. */
export async function publishedFolders(kubeletDir: string): Promise<PublishedFolder[]> {
  const found: PublishedFolder[] = [];
  for (const podUid of await entriesOf(podsDirOf(kubeletDir))) {
    for (const specName of await entriesOf(join(podPaths(kubeletDir, podUid).volumesDir, csiPlugin))) {
      const data = await readVolData(publishPath(kubeletDir, podUid, specName)).catch(() => undefined);
      if (data !== undefined) found.push({ podUid, specName, data });
    }
  }
  return found;
}

/** The Pods that have a block volume, by its PersistentVolume's name: by the link in their folder, or by what is published or held. */
export async function blockUsers(kubeletDir: string): Promise<Map<string, Set<string>>> {
  const users = new Map<string, Set<string>>();
  const add = (specName: string, podUid: string): void => {
    users.set(specName, (users.get(specName) ?? new Set()).add(podUid));
  };
  const publish = join(blockDir(kubeletDir), "publish");
  for (const specName of await entriesOf(publish)) {
    for (const podUid of await entriesOf(join(publish, specName))) add(specName, podUid);
  }
  for (const specName of (await entriesOf(blockDir(kubeletDir))).filter(isBlockSpec)) {
    for (const podUid of await entriesOf(blockHeldDir(kubeletDir, specName))) add(specName, podUid);
  }
  for (const podUid of await entriesOf(podsDirOf(kubeletDir))) {
    for (const specName of await entriesOf(podDevicesDir(kubeletDir, podUid))) add(specName, podUid);
  }
  return users;
}
