import type { Layout, Logger } from "@tripod/base";
import { type CriConfig, type CriServer, startCri } from "@tripod/cri";
import { HostedDhcp, ownPlugins } from "@tripod/plugin-bundle";
import { requirePrograms } from "./require-programs.ts";

/** Fails with one line when a program that runs containers is missing. */
export const requireRuntimePrograms = (): void => requirePrograms(["runc", "conmon"]);

/** Starts the container runtime on the layout's CRI socket; closed with `stack`. */
export async function startRuntime(
  options: { readonly layout: Layout; readonly log: Logger; readonly config: CriConfig },
  stack: AsyncDisposableStack,
): Promise<CriServer> {
  const { layout, log, config } = options;
  requireRuntimePrograms();
  const dhcp = stack.use(new HostedDhcp(log.child({ part: "dhcp" })));
  const cniPlugins = new Map([...ownPlugins, [dhcp.plugin.name, dhcp.plugin]]);
  const cri = await startCri({ layout, log: log.child({ part: "cri" }), cniPlugins, config });
  stack.defer(() => cri.close());
  return cri;
}
