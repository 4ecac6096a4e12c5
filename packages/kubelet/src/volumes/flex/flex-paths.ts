import { join } from "node:path";
import { TripodError } from "@tripod/base";
import { podPaths, safeComponent } from "../pod-paths.ts";

/** A FlexVolume driver's name as Pods write it, "vendor/driver", or without a vendor. */
export interface FlexDriverName {
  readonly vendor: string;
  readonly driver: string;
}

const namePattern = /^[A-Za-z0-9][-A-Za-z0-9_.]*$/;

/** Throws "invalid" for a name that is no vendor/driver. */
export function parseDriverName(name: string): FlexDriverName {
  const parts = name.split("/");
  const [driver = "", vendor = ""] = parts.toReversed();
  if (parts.length > 2 || !namePattern.test(driver) || (parts.length === 2 && !namePattern.test(vendor)))
    throw new TripodError("invalid", `flexVolume driver ${JSON.stringify(name)}: not vendor/driver`);
  return { vendor, driver };
}

/** "vendor~driver", as its folders are called. */
export const folderOf = ({ vendor, driver }: FlexDriverName): string =>
  vendor === "" ? driver : `${vendor}~${driver}`;

/** Where its program is, below the folder of all drivers. */
export const programOf = (driversDir: string, name: FlexDriverName): string =>
  join(driversDir, folderOf(name), name.driver);

const stateDir = (kubeletDir: string): string => join(kubeletDir, "plugins", "kubernetes.io", "flexvolume");

/** Where a volume's device is mounted once for the node; upstream's path. */
export const deviceMountPath = (kubeletDir: string, { vendor, driver }: FlexDriverName, volumeName: string): string =>
  join(stateDir(kubeletDir), ...(vendor === "" ? [] : [vendor]), driver, "mounts", safeComponent(volumeName));

/** Where a volume is mounted for a Pod; upstream's path. */
export const flexTarget = (
  kubeletDir: string,
  podUid: string,
  place: { readonly folder: string; readonly specName: string },
): string => podPaths(kubeletDir, podUid).volume(place.folder, place.specName);

/** The folder of what is known of mounted volumes, a file each. */
export const flexRecordsDir = (kubeletDir: string): string => join(stateDir(kubeletDir), "records");
