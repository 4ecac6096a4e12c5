import type { CniPlugin } from "@tripod/cni";
import type { Layout, Logger } from "@tripod/base";
import { type CriConfig, type CriServer, startCri } from "@tripod/cri";
import { bridge } from "@tripod/plugin-bridge";
import { hostLocal } from "@tripod/plugin-host-local";
import { loopback } from "@tripod/plugin-loopback";
import { portmap } from "@tripod/plugin-portmap";
import { requirePrograms } from "./require-programs.ts";

/** Our CNI plugins by name, as they are called in this process and installed as executables. */
export const cniPlugins: ReadonlyMap<string, CniPlugin> = new Map(
  [bridge, hostLocal, loopback, portmap].map((plugin) => [plugin.name, plugin]),
);

/** Fails with one line when a program that runs containers is missing. */
export const requireRuntimePrograms = (): void => requirePrograms(["runc", "conmon"]);

/** Starts the container runtime on the layout's CRI socket; closed with `stack`. */
export async function startRuntime(
  options: { readonly layout: Layout; readonly log: Logger; readonly config: CriConfig },
  stack: AsyncDisposableStack,
): Promise<CriServer> {
  const { layout, log, config } = options;
  requireRuntimePrograms();
  const cri = await startCri({ layout, log: log.child({ part: "cri" }), cniPlugins, config });
  stack.defer(() => cri.close());
  return cri;
}
