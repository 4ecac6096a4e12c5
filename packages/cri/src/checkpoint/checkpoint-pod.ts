import { statSync } from "node:fs";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { failpoint, type KeyedMutex, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import { containersOf } from "../container/containers-of.ts";
import type { CriContext } from "../context.ts";
import { containerConfigOf, type ContainerRecord } from "../records/container-record.ts";
import { podAttributes } from "../sandbox/stop.ts";
import { sandboxIsReady } from "../sandbox/view.ts";
import { archiveFolder } from "./archive-folder.ts";
import { captureContainer, checkpointsOf, requireCapturable } from "./capture.ts";
import { defaultTimeoutMs } from "./checkpoint-container.ts";
import { makeWorkFolder } from "./work-folder.ts";

/** What is in a Pod's checkpoint, beside its containers' archives. */
export interface PodDump {
  readonly version: 1;
  readonly handler: string;
  /** The PodSandboxConfig, in protobuf's JSON. */
  readonly config: unknown;
  readonly containers: readonly { readonly name: string; readonly archive: string }[];
}

/** In the folder that the caller gives: appears whole, by a rename. */
export const podFolder = "checkpoint";
export const podDumpName = "pod.json";

export interface CheckpointPodOptions {
  readonly outputPath: string;
  readonly containerIds: readonly string[];
  readonly options: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

async function requireFolder(path: string): Promise<void> {
  const isFolder = isAbsolute(path) && statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  if (!isFolder) throw new TripodError("invalid", `checkpoint sandbox: ${JSON.stringify(path)} is no folder; make it`);
  const found = await readdir(path);
  if (found.length > 0) throw new TripodError("invalid", `checkpoint sandbox: ${path} is not empty; give an empty one`);
}

/** Refuses options, of which there are none: what is not understood is not passed over. */
export function requireNoOptions(what: string, options: Readonly<Record<string, string>>): void {
  const names = Object.keys(options);
  if (names.length > 0) throw new TripodError("invalid", `${what}: unknown option ${names.join(", ")}; there are none`);
}

/** The containers that are named, which must be all that run. */
function chosen(context: CriContext, sandboxId: string, ids: readonly string[]): ContainerRecord[] {
  const refuse = (why: string): TripodError => new TripodError("invalid", `checkpoint sandbox ${sandboxId}: ${why}`);
  if (ids.length === 0) throw refuse("no containers are named; name those that run");
  const containers = ids.map((id) => context.containers.get(id));
  if (new Set(containers.map(({ id }) => id)).size !== ids.length) throw refuse("a container is named twice");
  const stranger = containers.find((container) => container.sandboxId !== sandboxId);
  if (stranger !== undefined) throw refuse(`container ${stranger.id} is of sandbox ${stranger.sandboxId}`);
  for (const container of containers) requireCapturable(context, container);
  const left = containersOf(context, sandboxId).find(
    ({ id, phase }) => phase === "running" && !containers.some((each) => each.id === id),
  );
  if (left !== undefined) throw refuse(`container ${left.id} runs, too, and is not named`);
  return containers;
}

/** Does `work` while it holds the locks of all of `ids`, taken in one order by everybody. */
function holding<T>(locks: KeyedMutex, ids: readonly string[], work: () => Promise<T>): Promise<T> {
  const [first, ...rest] = ids;
  return first === undefined ? work() : locks.run(first, () => holding(locks, rest, work));
}

/**
 * Writes all running containers of a sandbox, of one and the same moment, to `outputPath`/checkpoint: an archive of each, as
 * checkpointContainer() writes, and pod.json. All stand still until the last has been written, and go on whatever comes.
 */
export async function checkpointPod(
  context: CriContext,
  idOrPrefix: string,
  { outputPath, containerIds, options, signal }: CheckpointPodOptions,
): Promise<void> {
  const sandbox = context.sandboxes.get(idOrPrefix);
  const what = `checkpoint sandbox ${sandbox.id}`;
  requireNoOptions(what, options);
  if (!sandboxIsReady(context, sandbox)) {
    throw new TripodError("failed-precondition", `${what}: it is not ready (${sandbox.phase})`);
  }
  const ids = chosen(context, sandbox.id, containerIds).map(({ id }) => id);
  await holding(context.locks, ids.toSorted(), async () => {
    const containers = chosen(context, sandbox.id, ids); // they may have ended meanwhile
    const needs = { leaveRunning: true, whilePaused: true, what };
    const checkpoints = await checkpointsOf(context, sandbox.handler, needs);
    await requireFolder(outputPath);
    await withSpan("cri.checkpointPod", { ...podAttributes(sandbox), outputPath }, async () => {
      const target = join(outputPath, podFolder);
      await using work = makeWorkFolder(context, target);
      await mkdir(work.partial, { mode: 0o700 });
      failpoint("cri.checkpoint-pod.begun");
      const intoOf = (id: string): string => join(work.partial, id);
      await using thaw = new AsyncDisposableStack();
      for (const id of ids) {
        thaw.defer(() => checkpoints.resume(id));
        await checkpoints.pause(id);
      }
      for (const container of containers) {
        signal.throwIfAborted();
        await captureContainer(context, container, {
          into: intoOf(container.id),
          checkpoints,
          timeoutMs: defaultTimeoutMs,
        });
      }
      await thaw.disposeAsync();
      const dump: PodDump = {
        version: 1,
        handler: sandbox.handler,
        config: sandbox.config,
        containers: containers.map((each) => ({
          name: containerConfigOf(each).metadata?.name ?? "",
          archive: `${each.id}.tar`,
        })),
      };
      for (const id of ids) {
        signal.throwIfAborted();
        await archiveFolder(intoOf(id), `${intoOf(id)}.tar`);
        await rm(intoOf(id), { recursive: true });
      }
      await writeFile(join(work.partial, podDumpName), JSON.stringify(dump), { mode: 0o600, flush: true });
      signal.throwIfAborted();
      await rename(work.partial, target);
    });
  });
}
