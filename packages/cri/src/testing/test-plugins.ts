import type { CniPlugin } from "@tripod/cni";
import { bandwidth } from "@tripod/plugin-bandwidth";
import { bridge } from "@tripod/plugin-bridge";
import { hostLocal } from "@tripod/plugin-host-local";
import { loopback } from "@tripod/plugin-loopback";
import { portmap } from "@tripod/plugin-portmap";

/** Our own CNI plugins, as the daemon has them. */
export const testPlugins: ReadonlyMap<string, CniPlugin> = new Map([
  ["bridge", bridge],
  ["host-local", hostLocal],
  ["loopback", loopback],
  ["portmap", portmap],
  ["bandwidth", bandwidth],
]);
