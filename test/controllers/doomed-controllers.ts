import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { ControllersOptions } from "@tripod/controllers";
import type { ControlPlane } from "./control-plane.ts";

/** Starts controllers in a process of their own that dies at a failpoint. */
export function doomedControllers(
  stack: AsyncDisposableStack,
  plane: ControlPlane,
  failpoint: string,
  options: Partial<ControllersOptions> = {},
): ChildProcess {
  const { pkiDir, pluginsRegistryDir } = plane.layout;
  const script = join(import.meta.dirname, "run-controllers.ts");
  const kubeconfig = join(pkiDir, "controllers.kubeconfig");
  const child = spawn(process.execPath, [script, kubeconfig, pluginsRegistryDir, JSON.stringify(options)], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, TRIPOD_FAILPOINT: failpoint },
  });
  stack.defer(() => void child.kill("SIGKILL"));
  return child;
}

export async function untilKilled(child: ChildProcess, failpoint: string): Promise<void> {
  const [, signal] = await once(child, "exit", { signal: AbortSignal.timeout(20_000) });
  assert.equal(signal, "SIGKILL", `the process should have died at ${failpoint}`);
}
