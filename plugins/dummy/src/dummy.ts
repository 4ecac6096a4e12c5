import { type CniPlugin, defineLinkPlugin, type LinkConfig, parseLinkConfig } from "@tripod/cni/sdk";

/** A container's interface that leads nowhere, for addresses that only routes know. */
export const dummy: CniPlugin = defineLinkPlugin<LinkConfig>({
  name: "dummy",
  needsIpam: true,
  parse: (call) => parseLinkConfig("dummy", call),
  make(call, { mtu }, { there }) {
    there.linkAdd({ kind: "dummy", name: call.ifname, mtu });
  },
  owns: ({ kind }) => kind === "dummy",
});
