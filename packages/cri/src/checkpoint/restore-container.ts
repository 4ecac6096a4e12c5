import { failpoint, TripodError } from "@tripod/base";
import type { Image, RuntimeSpec } from "@tripod/oci";
import { identify } from "../container/process.ts";
import { removeReadyMounts } from "../container/ready-mounts.ts";
import { bundleOf, type CriContext } from "../context.ts";
import { containerConfigOf, type ContainerRecord } from "../records/container-record.ts";
import { isScope } from "../runtime/cgroup-driver.ts";
import { runtimeOf } from "../runtime/handler.ts";
import { checkpointsOf } from "./capture.ts";
import { imagesDirOf, type OpenedCheckpoint } from "./opened-checkpoint.ts";

/** Whether the container stands ready to be restored, so that nothing of it runs yet. */
export const waitsForRestore = ({ phase, restore, init }: ContainerRecord): boolean =>
  phase === "created" && restore !== undefined && init === undefined;

/** The image that the container ran which was checkpointed: one that is here, or is pulled without credentials. */
export async function baseImageOf(context: CriContext, { imageNames }: OpenedCheckpoint): Promise<Image> {
  for (const name of imageNames) {
    const found = context.images.get(name);
    if (found !== undefined) return found;
  }
  // An id alone names no registry.
  const name = imageNames.findLast((each) => /[./]/.test(each) && !each.startsWith("sha256:"));
  if (name === undefined) {
    throw new TripodError("not-found", `restore: its image ${imageNames.join(", ")} is not here; pull it first`);
  }
  return await context.images.pull(name);
}

/** Refuses a configuration without something that the processes have open or see: criu would only say that a mount is missing. */
export function requireMounts({ mounts }: RuntimeSpec, { binds }: OpenedCheckpoint): void {
  const there = new Set(mounts.map(({ destination }) => destination));
  const missing = binds.filter((destination) => !there.has(destination));
  if (missing.length === 0) return;
  throw new TripodError(
    "failed-precondition",
    `restore: the checkpointed container had mounts on ${missing.join(", ")}, for which this one has none; give it mounts there`,
  );
}

/** Lets the container's processes go on where they were. What was begun is taken away when it fails, so that it can be asked again. */
export async function restoreContainer(
  context: CriContext,
  container: ContainerRecord,
): Promise<Pick<ContainerRecord, "init" | "supervisor">> {
  const { id, handler, cgroupsPath, logPath } = container;
  const runtime = runtimeOf(context, handler);
  const needs = { leaveRunning: false, whilePaused: false, what: `restore container ${id}` };
  const checkpoints = await checkpointsOf(context, handler, needs);
  const { tty, stdin, stdinOnce } = containerConfigOf(container);
  try {
    const { pid, supervisorPid } = await checkpoints.restore(
      {
        id,
        bundle: bundleOf(context, id),
        ...(logPath !== "" && { logPath }),
        terminal: tty,
        stdin,
        stdinOnce,
        systemdCgroup: isScope(cgroupsPath),
      },
      imagesDirOf(context, id),
    );
    failpoint("cri.container.restored");
    const init = identify(pid);
    const supervisor = identify(supervisorPid);
    if (init === undefined || supervisor === undefined) {
      throw new TripodError("failed-precondition", `restore container ${id}: its first process ended at once`);
    }
    removeReadyMounts(context, id); // the container has copies of its own
    return { init, supervisor };
  } catch (error) {
    await runtime.delete({ id, cgroupsPath });
    throw error;
  }
}
