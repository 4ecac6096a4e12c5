import { rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { failpoint } from "@tripod/base";
import { removeOpenedCheckpoint } from "../checkpoint/opened-checkpoint.ts";
import { bundleOf, type CriContext, imageVolumesOf } from "../context.ts";
import type { ContainerRecord } from "../records/container-record.ts";
import { removingRuntimeOf } from "../runtime/handler.ts";
import { teardown } from "../teardown.ts";
import { isAlive } from "./process.ts";
import { removeReadyMounts } from "./ready-mounts.ts";

/** Removes everything of a container, made whole or by half, and its record last; the record stays when anything failed. */
export async function undoContainer(context: CriContext, container: ContainerRecord): Promise<void> {
  await teardown(`remove container ${container.id}`, [
    async () => {
      const { id, cgroupsPath, supervisor, exit } = container;
      // Of a container that has ended only the supervisor can be left; whatever else may be there has to be looked for.
      const known =
        exit === undefined || supervisor === undefined ? undefined : isAlive(supervisor) ? [supervisor.pid] : [];
      await removingRuntimeOf(context, container.handler).delete({
        id,
        bundle: bundleOf(context, id),
        cgroupsPath,
        ...(known !== undefined && { processes: known }),
      });
      failpoint("cri.container.runtime-deleted");
    },
    () => removeReadyMounts(context, container.id),
    async () => {
      await context.images.removeRootfs(container.id);
      failpoint("cri.container.rootfs-removed");
    },
    async () => {
      await rm(imageVolumesOf(context, container.id), { recursive: true, force: true });
      failpoint("cri.container.volumes-removed");
    },
    () => removeOpenedCheckpoint(context, container.id),
  ]);
  rmSync(bundleOf(context, container.id), { recursive: true, force: true });
  context.exits.forget(container.id);
  context.containers.delete(container.id);
}
