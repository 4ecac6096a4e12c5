import { rm } from "node:fs/promises";
import { dirname, basename, isAbsolute, join } from "node:path";
import { isTripodError } from "@tripod/base";
import type { ContainerActual } from "../cri/pod-actual.ts";
import { entriesOf } from "../volumes/folder-entries.ts";
import type { PodContext } from "./pod-context.ts";

/** Removes a dead container together with its log and that log's rotated pieces. Idempotent. */
export async function removeContainer(
  container: ContainerActual,
  logFolder: string,
  { cri }: PodContext,
  signal: AbortSignal,
): Promise<void> {
  try {
    await cri.runtime.removeContainer({ containerId: container.id }, { signal });
  } catch (error) {
    if (!isTripodError(error, "not-found")) throw error;
  }
  // The runtime may report the log's path whole or below the Pod's folder; nothing outside that folder is touched.
  const log = isAbsolute(container.logPath) ? container.logPath : join(logFolder, container.logPath);
  if (container.logPath === "" || !log.startsWith(`${logFolder}/`)) return;
  for (const name of await entriesOf(dirname(log))) {
    if (name === basename(log) || name.startsWith(`${basename(log)}.`))
      await rm(join(dirname(log), name), { force: true });
  }
}
