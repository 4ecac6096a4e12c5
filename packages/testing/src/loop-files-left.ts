import { setTimeout as delay } from "node:timers/promises";
import { loopDevices } from "@tripod/linux";

/** Other tests' mount namespaces, a kubelet's or a virtual machine's, may live this long. */
const waitMs = 90_000;

/**
 * The files below a folder that loop devices still have, once there is none any more or after a while. A device goes with its last mount,
 * and whoever made a mount namespace meanwhile has a copy of ours until that ends; nobody tells when.
 */
export async function loopFilesLeft(folder: string): Promise<string[]> {
  for (const deadline = performance.now() + waitMs; ; await delay(100)) {
    const left = loopDevices().flatMap(({ backingFile }) => (backingFile.startsWith(folder) ? [backingFile] : []));
    if (left.length === 0 || performance.now() > deadline) return left;
  }
}
