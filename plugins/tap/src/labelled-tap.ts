import { existsSync } from "node:fs";
import { runCommand, TripodError } from "@tripod/base";
import type { TapConfig } from "./tap-config.ts";

/**
 * Makes the device in an SELinux context. It takes the label of the process that makes it, and a process of many threads cannot change
 * its own: so iproute2 makes it, started in that context. "failed-precondition" on a machine without SELinux.
 */
export async function addLabelledTap(
  { multiQueue, owner, group }: TapConfig,
  { name, netns, context, signal }: { name: string; netns: string; context: string; signal: AbortSignal },
): Promise<void> {
  if (!existsSync("/sys/fs/selinux/enforce"))
    throw new TripodError(
      "failed-precondition",
      `tap: make ${name} in the SELinux context ${context}: this machine has no SELinux; remove selinuxContext`,
    );
  const device = ["tuntap", "add", "mode", "tap", "name", name];
  if (multiQueue) device.push("multi_queue");
  if (owner !== undefined) device.push("user", String(owner));
  if (group !== undefined) device.push("group", String(group));
  await runCommand("nsenter", [`--net=${netns}`, "runcon", context, "ip", ...device], { signal });
}
