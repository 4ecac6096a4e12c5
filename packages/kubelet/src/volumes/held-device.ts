import { mkdir, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { failpoint, TripodError } from "@tripod/base";
import { attachLoop, bindMount, detachLoop, isMountPoint, loopsOf } from "@tripod/linux";
import { removeMountFolder } from "./remove-tree.ts";

/**
 * Holds a block device for a Pod as upstream's kubelet does: bound at `held`, and kept open by a loop device on that. Without an open
 * descriptor the kernel may give the number of a device that goes away to the next one, and a container that is started again would get
 * another volume. Repeatable; a hold on another device, left from before, is let go. Linux 5.8, with loop devices.
 */
export async function holdDevice(device: string, held: string): Promise<void> {
  const wanted = await stat(device);
  if (!wanted.isBlockDevice()) throw new TripodError("failed-precondition", `${device}: is no block device`);
  if (isMountPoint(held) && (await stat(held)).rdev !== wanted.rdev) await releaseDevice(held);
  if (!isMountPoint(held)) {
    await mkdir(dirname(held), { recursive: true, mode: 0o750 });
    await writeFile(held, "", { mode: 0o640 });
    bindMount(device, held);
  }
  failpoint("kubelet.device.bound");
  // Nobody writes through it: its page cache is not the device's.
  if (loopsOf(held).length === 0) attachLoop(held, { readOnly: true });
  failpoint("kubelet.device.held");
}

/** Undoes holdDevice(), or what upstream's kubelet did there. Idempotent. */
export async function releaseDevice(held: string): Promise<void> {
  for (const { path } of loopsOf(held)) detachLoop(path);
  failpoint("kubelet.device.unlocked");
  await removeMountFolder(held);
}
