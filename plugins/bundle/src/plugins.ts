import type { CniPlugin } from "@tripod/cni/sdk";
import { bandwidth } from "@tripod/plugin-bandwidth";
import { bridge } from "@tripod/plugin-bridge";
import { hostLocal } from "@tripod/plugin-host-local";
import { loopback } from "@tripod/plugin-loopback";
import { portmap } from "@tripod/plugin-portmap";
import { tuning } from "@tripod/plugin-tuning";

/** Every plugin of Tripod's own, by type: what CniRuntime runs in process, and what installPlugins() installs. */
export const ownPlugins: ReadonlyMap<string, CniPlugin> = new Map(
  [loopback, bridge, hostLocal, portmap, bandwidth, tuning].map((plugin) => [plugin.name, plugin]),
);
