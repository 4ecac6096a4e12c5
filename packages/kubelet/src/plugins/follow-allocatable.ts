import type { CSIDriver } from "@tripod/api/kubernetes";
import { type Logger, messageOf } from "@tripod/base";
import type { ObjectFollower } from "../objects/object-follower.ts";
import { Wake } from "../pods/wake.ts";

export interface FollowAllocatableOptions {
  readonly csiDrivers: ObjectFollower<CSIDriver>;
  /** Asks the driver how many volumes this node takes, and writes it down. */
  readonly update: (signal: AbortSignal) => Promise<void>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Asks a driver again and again how many volumes the node takes, as often as its CSIDriver says, until the signal aborts. */
export async function followAllocatable(
  driver: string,
  { csiDrivers, update, log, signal }: FollowAllocatableOptions,
): Promise<void> {
  const wake = new Wake();
  csiDrivers.follow(driver, driver, () => wake.call());
  try {
    for (let lastMs = Date.now(); !signal.aborted; ) {
      const object = await csiDrivers.get(driver).catch(() => undefined); // its watch wakes us
      const seconds = object?.spec?.nodeAllocatableUpdatePeriodSeconds;
      const dueMs = seconds === undefined ? undefined : lastMs + seconds * 1000;
      await wake.wait(dueMs === undefined ? undefined : Math.max(0, dueMs - Date.now()), signal);
      if (signal.aborted || dueMs === undefined || dueMs > Date.now()) continue;
      lastMs = Date.now();
      try {
        await update(signal);
      } catch (error) {
        log.warn({ driver, error: messageOf(error) }, "how many volumes this node takes was not brought up to date");
      }
    }
  } finally {
    csiDrivers.unfollow(driver);
  }
}
