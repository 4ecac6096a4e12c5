import { setTimeout as delay } from "node:timers/promises";
import { Backoff } from "@tripod/base";
import {
  AttachmentTaken,
  checkMtu,
  type CniPlugin,
  defineLinkPlugin,
  lowerLink,
  type PluginCall,
} from "@tripod/cni/sdk";
import { isErrno } from "@tripod/linux";
import { parseVlanConfig, type VlanConfig } from "./vlan-config.ts";

/** A VLAN has one interface on its lower one: that it is there, in whatever namespace, the kernel says as it does of a name in use. */
const inUse = (call: PluginCall, { vlanId, master }: VlanConfig, cause: unknown): AttachmentTaken =>
  new AttachmentTaken(
    `vlan: make ${call.ifname} in ${call.netns}: that name or VLAN ${vlanId} of ${master ?? ""} is in use, perhaps by another container`,
    cause,
  );

/** How long a container's namespace that was just removed may hold its VLAN: the kernel takes it down by and by, and tells nobody when. */
const dyingMs = 1000;

/** A container's interface into a VLAN of an interface of the host. */
export const vlan: CniPlugin = defineLinkPlugin<VlanConfig>({
  name: "vlan",
  needsIpam: true,
  parse: parseVlanConfig,
  ready(config, host) {
    if (!config.inContainer) checkMtu("vlan", config.mtu, lowerLink("vlan", config, host));
  },
  async make(call, config, { host, there }) {
    const where = config.inContainer ? there : host;
    const lower = lowerLink("vlan", config, where);
    checkMtu("vlan", config.mtu, lower);
    const link = {
      kind: "vlan",
      name: call.ifname,
      parent: lower.index,
      netns: config.inContainer ? undefined : call.netns,
      vlanId: config.vlanId,
      mtu: config.mtu,
    } as const;
    const backoff = new Backoff({ initialMs: 10, maxMs: 200 });
    for (const deadline = performance.now() + dyingMs; ; ) {
      try {
        where.linkAdd(link);
        return;
      } catch (error) {
        if (!isErrno(error, "EEXIST")) throw error;
        if (performance.now() > deadline) throw inUse(call, config, error);
      }
      await delay(backoff.next(), undefined, { signal: call.signal });
    }
  },
  owns: ({ kind }) => kind === "vlan",
  difference(call, config, link, { host, there }) {
    const lower = lowerLink("vlan", config, config.inContainer ? there : host);
    if (link.parent !== lower.index) return `${call.ifname} is not on ${lower.name}`;
    if (link.vlanId !== config.vlanId) return `${call.ifname} is in VLAN ${link.vlanId} instead of ${config.vlanId}`;
    return undefined;
  },
});
