import { readdirSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isNodeError, messageOf } from "@tripod/base";
import { removeNamespace, unmount } from "@tripod/linux";
import { readyMountOwners, removeReadyMounts } from "../container/ready-mounts.ts";
import { removeOpenedCheckpoint } from "../checkpoint/opened-checkpoint.ts";
import { checkpointFolderOf, type CriContext, imageVolumesOf } from "../context.ts";
import { removeProbe } from "../runtime/user-namespace-support.ts";
import { type Attempt, endLost, isId } from "./end-lost.ts";

function idsIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter(isId);
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return [];
    throw error;
  }
}

/** Removes the folder of a sandbox that no record knows, with what is mounted in it. */
function removeSandboxFolder(folder: string): void {
  for (const kind of ["net", "ipc", "uts", "user"]) removeNamespace(join(folder, "ns", kind));
  while (unmount(join(folder, "shm"), { detach: true }));
  rmSync(folder, { recursive: true, force: true });
}

/** Takes away what is there without a record: after a lost record table, or a clean-up that once failed. */
export async function removeLeftovers(context: CriContext): Promise<void> {
  const { layout, log } = context;
  const attempt: Attempt = async (what, id, work) => {
    try {
      await work();
      log.warn({ id }, what);
    } catch (error) {
      log.error({ id, error: messageOf(error) }, what);
    }
  };
  removeProbe(context);
  await endLost(context, attempt);
  const unknownContainer = (id: string): boolean => context.containers.find(id) === undefined;
  for (const { containerId } of context.images.listRootfs()) {
    // Image commands by hand have root file systems of their own, under other names.
    if (!isId(containerId) || !unknownContainer(containerId)) continue;
    await attempt("reconcile: root file system without a container removed", containerId, () =>
      context.images.removeRootfs(containerId),
    );
  }
  for (const id of readyMountOwners(context).filter(unknownContainer)) {
    await attempt("reconcile: mounts without a container removed", id, () => removeReadyMounts(context, id));
  }
  for (const id of idsIn(layout.containersDir).filter(unknownContainer)) {
    await attempt("reconcile: bundle without a container removed", id, () =>
      rmSync(join(layout.containersDir, id), { recursive: true, force: true }),
    );
  }
  for (const id of idsIn(dirname(imageVolumesOf(context, "-"))).filter(unknownContainer)) {
    await attempt("reconcile: volumes without a container removed", id, () =>
      rm(imageVolumesOf(context, id), { recursive: true, force: true }),
    );
  }
  for (const id of idsIn(dirname(checkpointFolderOf(context, "-"))).filter(unknownContainer)) {
    await attempt("reconcile: checkpoint without a container removed", id, () => removeOpenedCheckpoint(context, id));
  }
  for (const id of idsIn(layout.sandboxesDir)) {
    if (context.sandboxes.find(id) !== undefined) continue;
    await attempt("reconcile: folder without a sandbox removed", id, () =>
      removeSandboxFolder(join(layout.sandboxesDir, id)),
    );
  }
  context.exits.sweep((id) => !unknownContainer(id));
  if (context.cni.status().ready) await collectAttachments(context);
}

/** CNI's own garbage collection: attachments of sandboxes that are no more. */
async function collectAttachments(context: CriContext): Promise<void> {
  try {
    await context.cni.gc({
      validAttachments: () =>
        context.sandboxes
          .list()
          .filter((sandbox) => !sandbox.hostNetwork && sandbox.phase !== "stopped")
          .map(({ id }) => ({ containerId: id, ifname: "eth0" })),
      signal: context.tasks.signal,
    });
  } catch (error) {
    context.log.warn({ error: messageOf(error) }, "reconcile: CNI could not collect its garbage");
  }
}
