import { checkMtu, type CniPlugin, defineLinkPlugin, lowerLink } from "@tripod/cni/sdk";
import { type MacvlanConfig, macvlanModes, parseMacvlanConfig } from "./macvlan-config.ts";

/** A container's interface with a MAC of its own on an interface of the host, beside it in the same network. */
export const macvlan: CniPlugin = defineLinkPlugin<MacvlanConfig>({
  name: "macvlan",
  needsIpam: false,
  parse: parseMacvlanConfig,
  ready(config, host) {
    if (!config.inContainer) checkMtu("macvlan", config.mtu, lowerLink("macvlan", config, host));
  },
  make(call, config, { host, there }) {
    const where = config.inContainer ? there : host;
    const lower = lowerLink("macvlan", config, where);
    checkMtu("macvlan", config.mtu, lower);
    where.linkAdd({
      kind: "macvlan",
      name: call.ifname,
      parent: lower.index,
      netns: config.inContainer ? undefined : call.netns,
      mode: config.mode,
      mtu: config.mtu,
      mac: config.mac,
      broadcastQueueLength: config.broadcastQueueLength,
    });
  },
  owns: ({ kind }) => kind === "macvlan",
  difference(call, config, link, { host, there }) {
    const lower = lowerLink("macvlan", config, config.inContainer ? there : host);
    if (link.parent !== lower.index) return `${call.ifname} is not on ${lower.name}`;
    if (link.mode !== macvlanModes[config.mode]) return `${call.ifname} is not in mode ${config.mode}`;
    return undefined;
  },
});
