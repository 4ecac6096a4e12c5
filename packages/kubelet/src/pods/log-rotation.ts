import { rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ContainerState } from "@tripod/api/cri";
import { type Logger, messageOf } from "@tripod/base";
import { containerLogPath } from "../containers/container-config.ts";
import type { CriClient } from "../cri/cri-client.ts";
import { containerNameLabel, podNameLabel, podNamespaceLabel, podUidLabel } from "../cri/pod-labels.ts";
import { entriesOf } from "../volumes/folder-entries.ts";
import { podLogFolder } from "./pod-log-folder.ts";

/** Upstream's defaults. */
const maxBytes = 10 * 1024 * 1024;
const maxFiles = 5;
const lookMs = 10_000;

export interface RotateOptions {
  readonly maxBytes: number;
  /** The current file included. */
  readonly maxFiles: number;
  /** Makes the runtime write to a new file under the log's path. */
  readonly reopen: () => Promise<void>;
  readonly nowMs: number;
}

/**
 * Puts a log that has grown too big aside as PATH.TIME and has the runtime begin a new one; the oldest pieces go. A crash between the two
 * steps leaves no file under the path: the next call has the runtime make one.
 */
export async function rotateLog(
  path: string,
  { maxBytes: limit, maxFiles: count, reopen, nowMs }: RotateOptions,
): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  const rotated = (await entriesOf(dirname(path))).filter((name) => name.startsWith(`${basename(path)}.`));
  if (found !== undefined && found.size <= limit) return;
  // Without a file and without pieces there never was a log: nothing to mend.
  if (found === undefined && rotated.length === 0) return;
  if (found !== undefined) {
    // Sorts by time: 0.log.20260101-123000.
    const stamp = new Date(nowMs)
      .toISOString()
      .replaceAll(/[-:]|\.\d+Z/g, "")
      .replace("T", "-");
    const aside = `${path}.${stamp}`;
    await rename(path, aside);
    rotated.push(basename(aside));
  }
  await reopen();
  const kept = Math.max(0, count - 1);
  for (const name of rotated.toSorted().slice(0, Math.max(0, rotated.length - kept))) {
    await rm(join(dirname(path), name), { force: true });
  }
}

/** Rotates the logs of running containers for ever, until the signal aborts. */
export async function rotateLogs(
  cri: CriClient,
  { podLogsDir, log, signal }: { readonly podLogsDir: string; readonly log: Logger; readonly signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    try {
      const filter = { state: { state: ContainerState.CONTAINER_RUNNING } };
      for (const { id, labels, metadata } of (await cri.runtime.listContainers({ filter })).containers) {
        const {
          [podUidLabel]: uid,
          [podNamespaceLabel]: namespace,
          [podNameLabel]: name,
          [containerNameLabel]: own,
        } = labels;
        if (uid === undefined || namespace === undefined || name === undefined || own === undefined) continue;
        const path = join(
          podLogFolder(podLogsDir, { uid, namespace, name }),
          containerLogPath(own, metadata?.attempt ?? 0),
        );
        const reopen = async (): Promise<void> => {
          await cri.runtime.reopenContainerLog({ containerId: id }, { signal });
        };
        await rotateLog(path, { maxBytes, maxFiles, reopen, nowMs: Date.now() });
      }
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ error: messageOf(error) }, "a container's log was not rotated, it is tried again");
    }
    await sleep(lookMs, undefined, { signal }).catch(() => undefined);
  }
}
