import { Backoff, type Logger } from "@tripod/base";
import { Wake } from "../pods/wake.ts";
import type { CsiDrivers } from "./csi-drivers.ts";
import type { VolumeManager } from "./volume-manager.ts";

export interface FollowOrphansOptions {
  readonly volumes: Pick<VolumeManager, "unstageOrphans">;
  readonly drivers: CsiDrivers;
  /** Resolves when the Pods of this node are known: before, no volume is an orphan. */
  readonly podsKnown: Promise<void>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Unstages what an earlier kubelet has left, each volume as soon as its driver is there. Ends when nothing is left. */
export async function followOrphans({ volumes, drivers, podsKnown, log, signal }: FollowOrphansOptions): Promise<void> {
  const backoff = new Backoff({ initialMs: 1000, maxMs: 60_000 });
  const wake = new Wake();
  const stop = drivers.onRegistered(() => wake.call());
  try {
    await podsKnown;
    for (let told = ""; !signal.aborted; ) {
      const left = await volumes.unstageOrphans(signal);
      if (left.size === 0) return;
      const reasons = Object.fromEntries(left);
      if (JSON.stringify(reasons) !== told)
        log.warn({ volumes: reasons }, "volumes that no pod uses are still staged; they wait");
      told = JSON.stringify(reasons);
      await wake.wait(backoff.next(), signal);
    }
  } finally {
    stop();
  }
}
