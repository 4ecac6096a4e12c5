import { rmSync } from "node:fs";
import { killCgroup, removeCgroup } from "@tripod/linux";
import { failpoint } from "@tripod/base";
import type { CriContext } from "../context.ts";
import type { SandboxRecord } from "../records/sandbox-record.ts";
import { teardown } from "../teardown.ts";
import { removeNamespaces } from "./namespaces.ts";
import { detachSandbox } from "./network.ts";
import { sandboxPaths } from "./paths.ts";
import { stopSharedPid } from "./shared-pid.ts";

/** Takes down what a sandbox holds of the kernel and the network; repeatable, and right for one that was made by half. */
export const takeDownSandbox = (context: CriContext, sandbox: SandboxRecord): Promise<void> =>
  teardown(`stop sandbox ${sandbox.id}`, [
    () => stopSharedPid(context, sandbox),
    () => detachSandbox(context, sandbox),
    () => removeNamespaces(context, sandbox),
    () => (sandbox.ownsCgroup ? killCgroup(sandbox.cgroupParent) : undefined),
    () => (sandbox.ownsCgroup ? removeCgroup(sandbox.cgroupParent) : undefined),
  ]);

/** Takes it down, and forgets it. */
export async function undoSandbox(context: CriContext, sandbox: SandboxRecord): Promise<void> {
  await takeDownSandbox(context, sandbox);
  forgetSandbox(context, sandbox);
}

/** Removes the folder and then the record of a sandbox that has been taken down. */
export function forgetSandbox(context: CriContext, sandbox: SandboxRecord): void {
  rmSync(sandboxPaths(context, sandbox).folder, { recursive: true, force: true });
  failpoint("cri.sandbox.folder-removed");
  context.sandboxes.delete(sandbox.id);
}
