import {
  checkInterface,
  countMasquerade,
  differs,
  hostLinkName,
  type NetworkAttachment,
  parseCidr,
  type PluginCall,
  reportedIps,
  reportedResult,
} from "@tripod/cni/sdk";
import { openRtnetlink } from "@tripod/linux";
import type { PtpConfig } from "./ptp-config.ts";

/** Compares the kernel's state with what ADD reported; throws the first difference. */
export function checkPtp(config: PtpConfig, call: PluginCall, attachment: NetworkAttachment): void {
  using host = openRtnetlink();
  using there = openRtnetlink({ netns: call.netns });
  const result = reportedResult("ptp", call);
  const own = checkInterface("ptp", call, { there });
  if (own.kind !== "veth") throw differs("ptp", `${call.ifname} is no veth`);
  const end = host.links().find((link) => link.kind === "veth" && link.index === own.parent);
  if (end?.up !== true)
    throw differs("ptp", `the host's end of ${call.ifname}, ${hostLinkName(attachment)}, is gone or down`);
  const ips = reportedIps(call, result);
  const routes = host.routes({ index: end.index });
  for (const { address } of ips) {
    const { ip } = parseCidr(address);
    const dst = `${address.slice(0, address.indexOf("/"))}/${ip.family === 4 ? 32 : 128}`;
    if (!routes.some((route) => route.dst === dst)) throw differs("ptp", `the host's route to ${dst} is gone`);
  }
  if (config.ipMasq && countMasquerade(call) < ips.length)
    throw differs("ptp", `the masquerade rules of ${call.containerId} are gone`);
}
