import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { podPaths, safeComponent } from "./pod-paths.ts";

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** The folder of a volume plugin's data in a Pod's volumes folder. */
export const csiPlugin = "kubernetes.io~csi";

/** Where a node keeps what drivers have staged. */
export const csiDir = (kubeletDir: string): string => join(kubeletDir, "plugins", "kubernetes.io", "csi");

/** Where a driver stages a volume once for the whole node. */
export const stagingPath = (kubeletDir: string, driver: string, handle: string): string =>
  join(csiDir(kubeletDir), safeComponent(driver), sha256(handle), "globalmount");

/** Where a driver publishes a volume for one Pod; `specName` is the PersistentVolume's name, or the volume's for an inline one. */
export const publishPath = (kubeletDir: string, podUid: string, specName: string): string =>
  join(podPaths(kubeletDir, podUid).volume(csiPlugin, specName), "mount");

export const blockDir = (kubeletDir: string): string => join(csiDir(kubeletDir), "volumeDevices");
export const blockStagingPath = (kubeletDir: string, specName: string): string =>
  join(blockDir(kubeletDir), "staging", safeComponent(specName));
export const blockPublishPath = (kubeletDir: string, specName: string, podUid: string): string =>
  join(blockDir(kubeletDir), "publish", safeComponent(specName), safeComponent(podUid));
/** Whether a name in blockDir() is that of a PersistentVolume. */
export const isBlockSpec = (name: string): boolean => name !== "staging" && name !== "publish";

/** Where the kubelet holds a published device for one Pod. */
export const blockHeldPath = (kubeletDir: string, specName: string, podUid: string): string =>
  join(blockHeldDir(kubeletDir, specName), safeComponent(podUid));
export const blockHeldDir = (kubeletDir: string, specName: string): string =>
  join(blockDir(kubeletDir), safeComponent(specName), "dev");
export const blockDataDir = (kubeletDir: string, specName: string): string =>
  join(blockDir(kubeletDir), safeComponent(specName), "data");

/** The link in the Pod's folder that leads to a block volume. */
export const podDevicePath = (kubeletDir: string, podUid: string, specName: string): string =>
  podPaths(kubeletDir, podUid).device(csiPlugin, specName);
export const podDevicesDir = (kubeletDir: string, podUid: string): string =>
  join(podPaths(kubeletDir, podUid).dir, "volumeDevices", csiPlugin);

/** The file with the facts of a mount, one level above it. */
export const volDataPath = (mountPath: string): string => join(dirname(mountPath), "vol_data.json");

/** The name of the VolumeAttachment by which a volume is attached to a node. */
export const attachmentName = (handle: string, driver: string, nodeName: string): string =>
  `csi-${sha256(`${handle}${driver}${nodeName}`)}`;

/** The volume handle of an inline volume: the Pod's life is the volume's life. */
export const inlineHandle = (podUid: string, volumeName: string): string => `csi-${sha256(`${podUid}${volumeName}`)}`;
