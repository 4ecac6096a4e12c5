import type { Node } from "@tripod/api/kubernetes";
import { Backoff, type Logger, messageOf, TripodError } from "@tripod/base";
import { watchPlugins } from "@tripod/csi";
import { abortableDelay } from "@tripod/kube";
import type { CsiRegistrar } from "./csi-registrar.ts";

export interface FollowPluginsOptions {
  readonly registrar: CsiRegistrar;
  readonly node: Node;
  readonly pluginsRegistryDir: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** CSI drivers speak version 1 of the interface. */
const isSupported = (version: string): boolean => /^v?1(\.|$)/.test(version);

/** Takes in every CSI driver that registers in the folder, and takes it out when it leaves, until the signal aborts. */
export async function followPlugins(options: FollowPluginsOptions): Promise<void> {
  const { registrar, pluginsRegistryDir, log, signal } = options;
  await ensureCsiNode(options);
  if (signal.aborted) return;
  await using _watcher = watchPlugins(pluginsRegistryDir, {
    log,
    registered: async (plugin, stop) => {
      const { type, name, supportedVersions } = plugin;
      if (type !== "CSIPlugin") {
        throw new TripodError("unimplemented", `plugin ${name}: this kubelet takes no plugins of type ${type}`);
      }
      if (!supportedVersions.some(isSupported)) {
        const versions = supportedVersions.join(", ");
        throw new TripodError("invalid", `plugin ${name}: of its versions ${versions} none is 1.x, which is needed`);
      }
      try {
        await registrar.register(plugin, stop);
      } catch (error) {
        log.warn({ plugin: name, error: messageOf(error) }, "a CSI driver was not registered, it is tried again");
        throw error;
      }
    },
    unregistered: (plugin) => registrar.unregister(plugin, signal),
  });
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

async function ensureCsiNode({ registrar, node, log, signal }: FollowPluginsOptions): Promise<void> {
  const backoff = new Backoff({ initialMs: 200, maxMs: 10_000 });
  while (!signal.aborted) {
    try {
      return await registrar.ensureCsiNode(node, signal);
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ error: messageOf(error) }, "the CSINode object is not there yet, trying again");
      await abortableDelay(backoff.next(), signal).catch(() => undefined);
    }
  }
}
