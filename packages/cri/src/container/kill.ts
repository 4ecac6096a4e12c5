import { TripodError } from "@tripod/base";
import { killCgroup } from "@tripod/linux";
import { waitsForRestore } from "../checkpoint/restore-container.ts";
import type { CriContext } from "../context.ts";
import { nowNs } from "../now.ts";
import { recordEnd, recordExit } from "./exit.ts";
import { signalProcess } from "./process.ts";

const SIGKILL = 9;
/** A killed process ends at once unless it hangs in the kernel. */
const killTimeoutMs = 30_000;

/** Whether the container has a first process that lives, as far as this server has been told. */
export const isLive = (context: CriContext, id: string): boolean =>
  ["created", "starting", "running"].includes(context.containers.find(id)?.phase ?? "");

/** Resolves with true when the container's end is on record, with false after `timeoutMs`. */
export async function waitForEnd(context: CriContext, id: string, timeoutMs: number): Promise<boolean> {
  if (!isLive(context, id)) return true;
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), Math.min(timeoutMs, 2 ** 31 - 1));
  try {
    return await Promise.race([context.exits.ended(id).then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Ends everything in the container by SIGKILL and waits until that is on record. */
export async function killContainer(context: CriContext, id: string): Promise<void> {
  recordExit(context, id); // it may have ended without our having been told
  const container = context.containers.find(id);
  if (container === undefined || !isLive(context, id)) return;
  if (waitsForRestore(container)) {
    const message = "it was stopped before it was restored";
    recordEnd(context, container, { code: 128 + SIGKILL, reason: "Error", message, finishedAtNs: String(nowNs()) });
    return;
  }
  if (container.init !== undefined) signalProcess(container.init, SIGKILL);
  await killCgroup(container.cgroupsPath);
  if (!(await waitForEnd(context, id, killTimeoutMs))) {
    throw new TripodError(
      "timeout",
      `kill container ${id}: process ${container.init?.pid} is still there after ${killTimeoutMs} ms, it hangs in the kernel`,
    );
  }
}
