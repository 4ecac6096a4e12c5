import { checkMtu, type CniPlugin, defineLinkPlugin, lowerLink } from "@tripod/cni/sdk";
import { type IpvlanConfig, ipvlanModes, parseIpvlanConfig } from "./ipvlan-config.ts";

/** A container's interface with addresses of its own, and the MAC of the host's interface that it is made on. */
export const ipvlan: CniPlugin = defineLinkPlugin<IpvlanConfig>({
  name: "ipvlan",
  needsIpam: false,
  parse: parseIpvlanConfig,
  ready(config, host) {
    // Without a master it may be that of the plugin before in the chain, which there is at ADD alone.
    if (config.master !== undefined && !config.inContainer)
      checkMtu("ipvlan", config.mtu, lowerLink("ipvlan", config, host));
  },
  make(call, config, { host, there }) {
    const where = config.inContainer ? there : host;
    const lower = lowerLink("ipvlan", config, where);
    checkMtu("ipvlan", config.mtu, lower);
    where.linkAdd({
      kind: "ipvlan",
      name: call.ifname,
      parent: lower.index,
      netns: config.inContainer ? undefined : call.netns,
      mode: config.mode,
      mtu: config.mtu,
    });
  },
  owns: ({ kind }) => kind === "ipvlan",
  difference(call, config, link) {
    return link.mode === ipvlanModes[config.mode] ? undefined : `${call.ifname} is not in mode ${config.mode}`;
  },
});
