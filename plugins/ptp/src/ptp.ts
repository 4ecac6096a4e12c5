import { failpoint } from "@tripod/base";
import {
  addMasquerade,
  applyOperations,
  attachmentOf,
  AttachmentTaken,
  type CniPlugin,
  type CniResult,
  collectMasquerade,
  definePlugin,
  deleteMasquerade,
  familiesOf,
  hostLinkAlias,
  hostLinkName,
  ipamOrder,
  masqueradeMatches,
  ownerOfAlias,
  planForwarding,
  type PluginCall,
  settleAddresses,
  Teardown,
  withRuleLock,
} from "@tripod/cni/sdk";
import { isErrno, linkDeleteOffThread, openRtnetlink, type Rtnetlink } from "@tripod/linux";
import { checkPtp } from "./check-ptp.ts";
import { parsePtpConfig, type PtpConfig } from "./ptp-config.ts";
import { completeResult, planContainer, planHost } from "./ptp-plan.ts";

/** The two namespaces of an attachment. */
interface Places {
  readonly host: Rtnetlink;
  readonly there: Rtnetlink;
}

/** Makes the pair, down at both ends. */
function plug(call: PluginCall, { mtu }: PtpConfig, host: Rtnetlink): void {
  const { ifname, netns } = call;
  const attachment = attachmentOf(call);
  const name = hostLinkName(attachment);
  const peer = { name: ifname, netns, mtu };
  try {
    const link = { kind: "veth", name, mtu, alias: hostLinkAlias(attachment), peer } as const;
    applyOperations([{ kind: "add-link", link }], host, { plugin: "ptp" });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    throw new AttachmentTaken(`ptp: ${ifname} exists in ${netns} or ${name} on the host`, error);
  }
}

/** Addresses and routes at both ends, in one synchronous step. */
function configure(
  call: PluginCall,
  config: PtpConfig,
  { completed, host, there }: Places & { readonly completed: CniResult },
): CniResult {
  const { ifname, netns } = call;
  const hostName = hostLinkName(attachmentOf(call));
  // The host's end first: the announcement of the container's is to find it up.
  const onHost = [...planForwarding(familiesOf(completed)), ...planHost(hostName, completed)];
  applyOperations(onHost, host, { plugin: "ptp" });
  applyOperations(planContainer(config, ifname, completed), there, { plugin: "ptp", netns });
  const end = host.linkByName(hostName);
  const own = there.linkByName(ifname);
  return {
    ...completed,
    interfaces: [
      { name: end.name, mac: end.mac, mtu: end.mtu },
      { name: own.name, mac: own.mac, mtu: own.mtu, sandbox: netns },
    ],
  };
}

async function add(call: PluginCall): Promise<CniResult> {
  const config = parsePtpConfig(call);
  using host = openRtnetlink();
  using there = openRtnetlink({ netns: call.netns });
  try {
    plug(call, config, host);
    failpoint("ptp.plugged");
    const given = await call.delegate(config.ipam, "ADD");
    failpoint("ptp.ipam-added");
    const result = configure(call, config, { completed: completeResult(config, given), host, there });
    failpoint("ptp.connected");
    if (config.ipMasq) {
      await withRuleLock(call.signal, () => addMasquerade(attachmentOf(call), masqueradeMatches(result)));
      failpoint("ptp.masqueraded");
    }
    if (config.enableDad) await settleAddresses("ptp", call);
    return result;
  } catch (error) {
    if (!(error instanceof AttachmentTaken)) await undo(call, config, error);
    throw error;
  }
}

/** Takes back what a failed ADD had made; what cannot be taken back is told beside the reason. */
async function undo(call: PluginCall, config: PtpConfig, reason: unknown): Promise<void> {
  try {
    await remove(call, config);
  } catch (error) {
    throw new AggregateError([reason, error], "ptp: ADD failed, and so did taking it back");
  }
}

/** Rules, links and addresses: in an order in which no other container can get an address to which something of this one still applies. */
async function remove(call: PluginCall, config: PtpConfig): Promise<void> {
  const teardown = new Teardown();
  const attachment = attachmentOf(call);
  if (config.ipMasq) await teardown.attempt(() => withRuleLock(call.signal, () => deleteMasquerade(attachment)));
  failpoint("ptp.del.rules-gone");
  const giveBack = (ipam: string): unknown => call.delegate(ipam, "DEL");
  for (const step of ipamOrder(config.ipam, giveBack, () => removeLinks(call))) await teardown.attempt(step);
  teardown.finish(`ptp: detach ${call.ifname} of ${call.containerId}`);
}

async function removeLinks(call: PluginCall): Promise<void> {
  const gone = await linkDeleteOffThread(hostLinkName(attachmentOf(call)));
  // What upstream's ptp made has another name on the host.
  const index = gone || call.netns === "" ? undefined : vethIndex(call.netns, call.ifname);
  if (index !== undefined) await linkDeleteOffThread(index, { netns: call.netns });
  failpoint("ptp.del.links-gone");
}

function vethIndex(netns: string, ifname: string): number | undefined {
  using there = openRtnetlink({ netns });
  const link = there.findLink(ifname);
  return link?.kind === "veth" ? link.index : undefined;
}

async function check(call: PluginCall): Promise<void> {
  const config = parsePtpConfig(call);
  await call.delegate(config.ipam, "CHECK");
  checkPtp(config, call, attachmentOf(call));
}

/** The host's ends of the network's attachments; a bridge's ports are not ptp's. */
function ownLinks(network: string): readonly string[] {
  using host = openRtnetlink();
  return host
    .links()
    .filter(({ kind, master, alias, name }) => {
      const owner = kind === "veth" && master === undefined ? ownerOfAlias(alias) : undefined;
      return owner?.network === network && name === hostLinkName(owner);
    })
    .map(({ name }) => name);
}

async function gc(call: PluginCall): Promise<void> {
  const config = parsePtpConfig(call);
  const valid = call.validAttachments.map((attachment) => ({ ...attachment, network: call.network }));
  await withRuleLock(call.signal, () => collectMasquerade(call.network, valid));
  const wanted = new Set(valid.map(hostLinkName));
  const removeLinks = async (): Promise<void> => {
    for (const name of ownLinks(call.network)) {
      if (!wanted.has(name)) await linkDeleteOffThread(name);
    }
  };
  for (const step of ipamOrder(config.ipam, (ipam) => call.delegate(ipam, "GC"), removeLinks)) await step();
}

async function status(call: PluginCall): Promise<void> {
  await call.delegate(parsePtpConfig(call).ipam, "STATUS");
}

/** A container connected to the host alone, by a veth pair with routes at both ends. */
export const ptp: CniPlugin = definePlugin({
  name: "ptp",
  add,
  del: (call) => remove(call, parsePtpConfig(call)),
  check,
  gc,
  status,
  validate: parsePtpConfig,
});
