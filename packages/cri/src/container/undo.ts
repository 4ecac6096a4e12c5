import { rmSync } from "node:fs";
import { failpoint } from "@tripod/base";
import { bundleOf, type CriContext } from "../context.ts";
import type { ContainerRecord } from "../records/container-record.ts";
import { runtimeOf } from "../runtime/handler.ts";
import { teardown } from "../teardown.ts";

/** Removes everything of a container, made whole or by half, and its record last; the record stays when anything failed. */
export async function undoContainer(context: CriContext, container: ContainerRecord): Promise<void> {
  await teardown(`remove container ${container.id}`, [
    async () => {
      await runtimeOf(context, container.handler).delete({ id: container.id, cgroupsPath: container.cgroupsPath });
      failpoint("cri.container.runtime-deleted");
    },
    async () => {
      await context.images.removeRootfs(container.id);
      failpoint("cri.container.rootfs-removed");
    },
  ]);
  rmSync(bundleOf(context, container.id), { recursive: true, force: true });
  context.exits.forget(container.id);
  context.containers.delete(container.id);
}
