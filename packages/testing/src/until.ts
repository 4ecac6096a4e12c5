import { setTimeout as delay } from "node:timers/promises";
import { TripodError } from "@tripod/base";

/**
 * Waits until `holds` is true, for what no event tells a process outside the node (its files, the kernel's tables). Fails after
 * 30 s with `what` in the message.
 */
export async function until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline)
      throw new TripodError("timeout", `waited ${timeoutMs / 1000} s in vain for: ${what}`);
    await delay(50);
  }
}
