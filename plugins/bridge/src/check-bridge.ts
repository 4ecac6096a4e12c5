import {
  checkInterface,
  type CniResult,
  countMasquerade,
  differs,
  type PluginCall,
  reportedIps,
} from "@tripod/cni/sdk";
import { openRtnetlink } from "@tripod/linux";
import type { BridgeConfig } from "./bridge-config.ts";

/** Compares the kernel's state with what ADD reported; throws the first difference. */
export function checkBridge(config: BridgeConfig, call: PluginCall, result: CniResult): void {
  using host = openRtnetlink();
  using there = openRtnetlink({ netns: call.netns });
  const bridge = host.findLink(config.bridge);
  if (bridge?.kind !== "bridge" || !bridge.up) throw differs("bridge", `${config.bridge} is not a bridge that is up`);
  const own = checkInterface("bridge", call, { there, mayBeDown: config.disableContainerInterface });
  if (own.kind !== "veth") throw differs("bridge", `${call.ifname} is no veth`);
  const end = host.links().find((link) => link.kind === "veth" && link.index === own.parent);
  if (end?.master !== bridge.index)
    throw differs("bridge", `the host's end of ${call.ifname} is not a port of ${config.bridge}`);
  if (config.ipMasq && config.ipam !== undefined && countMasquerade(call) < reportedIps(call, result).length)
    throw differs("bridge", `the masquerade rules of ${call.containerId} are gone`);
}
