import { CniError, cniCodes, type CniPlugin, type CniResult, definePlugin, type PluginCall } from "@tripod/cni/sdk";
import { type Link, openRtnetlink } from "@tripod/linux";

/** Brings the interface (`lo`) up and reports its addresses; a result that came before is passed on as it is. */
function add(call: PluginCall): CniResult {
  using there = openRtnetlink({ netns: call.netns });
  const link = loopbackLink(there.findLink(call.ifname), call);
  if (!link.up) there.linkSet(link.index, { up: true });
  if (call.prevResult !== undefined) return call.prevResult;
  const ips = there.addresses({ index: link.index }).map(({ address }) => ({ interface: 0, address }));
  return {
    cniVersion: call.cniVersion,
    interfaces: [{ name: call.ifname, mac: link.mac, sandbox: call.netns }],
    ips,
    routes: [],
    dns: {},
  };
}

function loopbackLink(link: Link | undefined, call: PluginCall): Link {
  if (link?.loopback === true) return link;
  const why = link === undefined ? "there is no such interface" : "it is not a loopback interface";
  throw new CniError(
    cniCodes.invalidEnvironment,
    `loopback ${call.ifname} in ${call.netns}: ${why}; set CNI_IFNAME to lo`,
  );
}

function del(call: PluginCall): void {
  if (call.netns === "") return;
  using there = openRtnetlink({ netns: call.netns });
  const link = there.findLink(call.ifname);
  if (link?.loopback === true && link.up) there.linkSet(link.index, { up: false });
}

function check(call: PluginCall): void {
  using there = openRtnetlink({ netns: call.netns });
  if (loopbackLink(there.findLink(call.ifname), call).up) return;
  throw new CniError(cniCodes.unknownContainer, `loopback ${call.ifname} in ${call.netns} is down; ADD it again`);
}

/** The loopback interface of a container. */
export const loopback: CniPlugin = definePlugin({ name: "loopback", add, del, check });
