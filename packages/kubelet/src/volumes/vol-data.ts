import { readFile } from "node:fs/promises";
import { isNodeError, TripodError, writeFileAtomic } from "@tripod/base";
import { volDataPath } from "./csi-paths.ts";

/** What a kubelet must know of a CSI mount to take it down without the API server; upstream's field names. */
export interface VolData {
  readonly driverName: string;
  readonly volumeHandle: string;
  readonly specVolID: string;
  readonly nodeName: string;
  readonly attachmentID: string;
  readonly volumeLifecycleMode: "Persistent" | "Ephemeral";
  /** The SELinux context that it is mounted with. */
  readonly seLinuxMountContext?: string;
}

/** Writes the facts beside `mountPath`, before the driver is called. */
export const writeVolData = (mountPath: string, data: VolData): Promise<void> =>
  writeFileAtomic(volDataPath(mountPath), JSON.stringify(data));

/** The facts of a mount; undefined when there are none. A file that is not ours to understand is a "corrupt" error. */
export async function readVolData(mountPath: string): Promise<VolData | undefined> {
  const path = volDataPath(mountPath);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return undefined;
    throw error;
  }
  let found: Partial<VolData>;
  try {
    found = JSON.parse(text) as Partial<VolData>; // each field that matters is checked below
  } catch (cause) {
    throw new TripodError("corrupt", `${path}: is not JSON`, { cause });
  }
  if (typeof found.driverName !== "string" || typeof found.volumeHandle !== "string") {
    throw new TripodError("corrupt", `${path}: has no driverName or volumeHandle`);
  }
  return {
    driverName: found.driverName,
    volumeHandle: found.volumeHandle,
    specVolID: found.specVolID ?? "",
    nodeName: found.nodeName ?? "",
    attachmentID: found.attachmentID ?? "",
    volumeLifecycleMode: found.volumeLifecycleMode === "Ephemeral" ? "Ephemeral" : "Persistent",
  };
}
