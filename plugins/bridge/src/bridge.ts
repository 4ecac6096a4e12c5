import { createHash } from "node:crypto";
import { failpoint, messageOf } from "@tripod/base";
import {
  addMasquerade,
  applyOperations,
  attachmentOf,
  AttachmentTaken,
  CniError,
  cniCodes,
  type CniPlugin,
  type CniResult,
  collectMasquerade,
  definePlugin,
  deleteMasquerade,
  emptyResult,
  hostLinkAlias,
  hostLinkName,
  ipamOrder,
  masqueradeMatches,
  type Operation,
  ownerOfAlias,
  planForwarding,
  type PluginCall,
  reportedResult,
  settleAddresses,
  Teardown,
  withRuleLock,
} from "@tripod/cni/sdk";
import { isErrno, linkDeleteOffThread, openRtnetlink, type Rtnetlink } from "@tripod/linux";
import { type BridgeConfig, parseBridgeConfig } from "./bridge-config.ts";
import {
  completeResult,
  gatewayAddresses,
  gatewayLinkName,
  type HostState,
  gatewayFamilies,
  planBridge,
  planContainer,
  planGateway,
  planVeth,
} from "./bridge-plan.ts";
import { checkBridge } from "./check-bridge.ts";
import { addSpoofCheck, collectSpoofChecks, deleteSpoofCheck } from "./spoof-check.ts";

/** A stable MAC for a bridge, locally administered; two bridges of one name are never on one wire. */
const bridgeMac = (name: string): string => {
  const hash = createHash("sha256").update(`bridge ${name}`).digest("hex");
  return `02:${(hash.slice(0, 10).match(/../g) ?? []).join(":")}`;
};

function hostState(host: Rtnetlink, config: BridgeConfig): HostState {
  const bridge = host.findLink(config.bridge);
  const gateway = config.vlan === 0 ? bridge : host.findLink(gatewayLinkName(config));
  return { bridge, gateway, addresses: gateway === undefined ? [] : host.addresses({ index: gateway.index }) };
}

const apply = (operations: readonly Operation[], rtnetlink: Rtnetlink, netns?: string): void =>
  applyOperations(operations, rtnetlink, { plugin: "bridge", netns });

/** The two namespaces of an attachment. */
interface Places {
  readonly host: Rtnetlink;
  readonly there: Rtnetlink;
}

/** Makes the bridge and the veth pair, in one synchronous step: two ADDs of one process never see one another half done. */
function plug(call: PluginCall, config: BridgeConfig, host: Rtnetlink): void {
  const hostName = hostLinkName(attachmentOf(call));
  const veth = { hostName, alias: hostLinkAlias(attachmentOf(call)), netns: call.netns, ifname: call.ifname };
  const state = hostState(host, config);
  apply(
    planBridge(config, state, () => bridgeMac(config.bridge)),
    host,
  );
  try {
    apply(planVeth(config, veth), host);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    throw new AttachmentTaken(`${call.ifname} exists in ${call.netns} or ${hostName} on the host`, error);
  }
}

/** Addresses and routes at both ends, likewise in one step. */
function configure(
  call: PluginCall,
  config: BridgeConfig,
  { completed, host, there }: Places & { readonly completed: CniResult },
): CniResult {
  const gateways = gatewayAddresses(config, completed);
  const families = gatewayFamilies(gateways);
  apply([...planGateway(config, hostState(host, config), gateways), ...planForwarding(families)], host);
  apply(planContainer(config, call.ifname, completed), there, call.netns);
  const bridge = host.linkByName(config.bridge);
  const end = host.linkByName(hostLinkName(attachmentOf(call)));
  const own = there.linkByName(call.ifname);
  forgetNeighbours(host, config, completed);
  return {
    ...completed,
    interfaces: [
      { name: bridge.name, mac: bridge.mac, mtu: bridge.mtu },
      { name: end.name, mac: end.mac, mtu: end.mtu },
      { name: own.name, mac: own.mac, mtu: own.mtu, sandbox: call.netns },
    ],
    dns: Object.keys(config.dns).length > 0 ? config.dns : completed.dns,
  };
}

/** The host may remember the MAC of the container that had an address before: it would send into the void until that ages. */
function forgetNeighbours(host: Rtnetlink, config: BridgeConfig, { ips }: CniResult): void {
  const link = host.findLink(gatewayLinkName(config));
  if (link === undefined) return;
  for (const { address } of ips) {
    try {
      host.neighbourDelete({ index: link.index, address: address.slice(0, address.indexOf("/")) });
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error; // nobody had it
    }
  }
}

async function add(call: PluginCall): Promise<CniResult> {
  const config = parseBridgeConfig(call);
  const { ipam } = config;
  using host = openRtnetlink();
  using there = openRtnetlink({ netns: call.netns });
  try {
    plug(call, config, host);
    failpoint("bridge.plugged");
    const given = ipam === undefined ? undefined : await call.delegate(ipam, "ADD");
    failpoint("bridge.ipam-added");
    const completed = given === undefined ? emptyResult(call.cniVersion) : completeResult(config, given);
    const result = configure(call, config, { completed, host, there });
    failpoint("bridge.connected");
    const mac = result.interfaces.at(-1)?.mac;
    if ((config.ipMasq && given !== undefined) || config.macspoofchk) {
      await withRuleLock(call.signal, () => {
        if (config.ipMasq && given !== undefined) addMasquerade(attachmentOf(call), masqueradeMatches(result));
        if (config.macspoofchk && mac !== undefined) addSpoofCheck(attachmentOf(call), mac);
      });
      failpoint("bridge.masqueraded");
    }
    if (config.enableDad) await settleAddresses("bridge", call);
    return result;
  } catch (error) {
    if (!(error instanceof AttachmentTaken)) await undo(call, config, error);
    throw error;
  }
}

/** Takes back what a failed ADD had made; what cannot be taken back is told beside the reason. */
async function undo(call: PluginCall, config: BridgeConfig, reason: unknown): Promise<void> {
  try {
    await remove(call, config);
  } catch (error) {
    throw new AggregateError([reason, error], "bridge: ADD failed, and so did taking it back");
  }
}

/**
 * Takes away rules, links and addresses, in an order in which no other container can get an address to which something of this one still
 * applies. Nothing here needs the namespace: a veth's host end has a name that follows from the attachment (upstream #810).
 */
async function remove(call: PluginCall, config: BridgeConfig): Promise<void> {
  const teardown = new Teardown();
  const attachment = attachmentOf(call);
  await teardown.attempt(() =>
    withRuleLock(call.signal, () => {
      if (config.ipMasq) deleteMasquerade(attachment);
      if (config.macspoofchk) deleteSpoofCheck(attachment);
    }),
  );
  failpoint("bridge.del.rules-gone");
  const giveBack = (ipam: string): unknown => call.delegate(ipam, "DEL");
  for (const step of ipamOrder(config.ipam, giveBack, () => removeLinks(call))) await teardown.attempt(step);
  teardown.finish(`bridge: detach ${call.ifname} of ${call.containerId}`);
}

async function removeLinks(call: PluginCall): Promise<void> {
  // Its peer went with it; and to ask for that now would be to wait until the kernel has finished with both.
  const gone = await linkDeleteOffThread(hostLinkName(attachmentOf(call)));
  // What upstream's bridge made has another name on the host.
  const index = gone || call.netns === "" ? undefined : vethIndex(call.netns, call.ifname);
  if (index !== undefined) await linkDeleteOffThread(index, { netns: call.netns });
  failpoint("bridge.del.links-gone");
}

function vethIndex(netns: string, ifname: string): number | undefined {
  using there = openRtnetlink({ netns });
  const link = there.findLink(ifname);
  return link?.kind === "veth" ? link.index : undefined;
}

async function check(call: PluginCall): Promise<void> {
  const config = parseBridgeConfig(call);
  if (config.ipam !== undefined) await call.delegate(config.ipam, "CHECK");
  checkBridge(config, call, reportedResult("bridge", call));
}

/** The host's ends of the network's attachments. Another instance may have a network of this name, on a bridge of its own. */
function ownLinks(config: BridgeConfig, network: string): readonly string[] {
  using host = openRtnetlink();
  const bridge = host.findLink(config.bridge);
  return host
    .links()
    .filter(({ kind, master, alias, name }) => {
      const owner =
        kind === "veth" && (master === undefined || master === bridge?.index) ? ownerOfAlias(alias) : undefined;
      return owner?.network === network && name === hostLinkName(owner);
    })
    .map(({ name }) => name);
}

async function gc(call: PluginCall): Promise<void> {
  const config = parseBridgeConfig(call);
  const valid = call.validAttachments.map((attachment) => ({ ...attachment, network: call.network }));
  await withRuleLock(call.signal, () => {
    collectMasquerade(call.network, valid);
    collectSpoofChecks(call.network, valid);
  });
  const wanted = new Set(valid.map(hostLinkName));
  const removeLinks = async (): Promise<void> => {
    for (const name of ownLinks(config, call.network)) {
      if (!wanted.has(name)) await linkDeleteOffThread(name);
    }
  };
  for (const step of ipamOrder(config.ipam, (ipam) => call.delegate(ipam, "GC"), removeLinks)) await step();
}

async function status(call: PluginCall): Promise<void> {
  const config = parseBridgeConfig(call);
  try {
    using host = openRtnetlink();
    planBridge(config, hostState(host, config), () => bridgeMac(config.bridge));
  } catch (error) {
    throw new CniError(cniCodes.pluginNotAvailable, `bridge: ${messageOf(error)}`, { cause: error });
  }
  if (config.ipam !== undefined) await call.delegate(config.ipam, "STATUS");
}

/** Containers on a Linux bridge, each by a veth pair, with addresses from an IPAM plugin. */
export const bridge: CniPlugin = definePlugin({
  name: "bridge",
  add,
  del: (call) => remove(call, parseBridgeConfig(call)),
  check,
  gc,
  status,
  validate: parseBridgeConfig,
});
