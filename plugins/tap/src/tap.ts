import { TripodError } from "@tripod/base";
import { type CniPlugin, defineLinkPlugin } from "@tripod/cni/sdk";
import { tunTapAdd } from "@tripod/linux";
import { addLabelledTap } from "./labelled-tap.ts";
import { parseTapConfig, type TapConfig } from "./tap-config.ts";

/** A TAP device in the container's namespace, for a program there (a virtual machine's monitor) that speaks frames. */
export const tap: CniPlugin = defineLinkPlugin<TapConfig>({
  name: "tap",
  needsIpam: false,
  parse: parseTapConfig,
  async make({ ifname, netns, signal }, config, { there }) {
    const { multiQueue, owner, group, selinuxContext } = config;
    if (selinuxContext === undefined) tunTapAdd({ kind: "tap", name: ifname, netns, multiQueue, owner, group });
    else await addLabelledTap(config, { name: ifname, netns, context: selinuxContext, signal });
    const bridge = config.bridge === undefined ? undefined : there.findLink(config.bridge);
    if (config.bridge !== undefined && bridge === undefined)
      throw new TripodError(
        "failed-precondition",
        `tap: there is no bridge ${config.bridge} in ${netns}; make it there first`,
      );
    there.linkSet(ifname, { mac: config.mac, mtu: config.mtu, master: bridge?.index });
  },
  owns: ({ kind }) => kind === "tun",
  difference({ ifname }, config, link, { there }) {
    const { owner, group, multiQueue } = config;
    const { tun } = link;
    if (tun !== undefined && (tun.owner !== owner || tun.group !== group || tun.multiQueue !== multiQueue))
      return `${ifname} has another owner, group or number of queues`;
    if (config.bridge === undefined || link.master === there.findLink(config.bridge)?.index) return undefined;
    return `${ifname} is not a port of ${config.bridge}`;
  },
});
