import { failpoint, messageOf, TripodError } from "@tripod/base";
import {
  attachmentOf,
  chainedResult,
  CniError,
  cniCodes,
  type CniPlugin,
  type CniResult,
  definePlugin,
  differs,
  formatIp,
  listTable,
  masqueradeComment,
  masqueradePrefix,
  type NetworkAttachment,
  parseCidr,
  type PluginCall,
  reportedResult,
  Teardown,
  withRuleLock,
} from "@tripod/cni/sdk";
import { nft, openRtnetlink } from "@tripod/linux";
import { type FirewallConfig, parseFirewallConfig } from "./firewall-config.ts";
import { strictCommands, strictComment, tableCommands } from "./firewall-rules.ts";
import { type FirewallEntry, type FirewallState, readState, strictChains } from "./firewall-state.ts";

/** Network and attachment as the masquerade rules name them: the part of that comment that is never cut. */
const ownerOf = (attachment: NetworkAttachment): string => masqueradeComment(attachment).slice(0, 33);

/** The bridge that the container is on, which the plugin before has named. */
function bridgeOf(result: CniResult, policy: string): string {
  using host = openRtnetlink();
  const ours = result.interfaces.filter(({ sandbox = "" }) => sandbox === "").map(({ name }) => name);
  const bridge = ours.find((name) => name.length <= 15 && host.findLink(name)?.kind === "bridge");
  if (bridge !== undefined && /^[^\s"\\]+$/.test(bridge)) return bridge;
  throw new TripodError(
    "invalid",
    `firewall: ingressPolicy ${policy} needs a bridge, and the result names none; put firewall behind bridge`,
  );
}

const addressesOf = (result: CniResult): readonly string[] =>
  result.ips.map(({ address }) => formatIp(parseCidr(address).ip));

/** Makes everything over from `state`, which readState() gave and the caller has changed. Inside withRuleLock(). */
function apply(state: FirewallState): void {
  const run = (commands: readonly string[]): void => {
    if (commands.length > 0) nft(`${commands.join("\n")}\n`);
  };
  const needed = state.entries.some(({ kind }) => kind === "address");
  run(tableCommands(state));
  failpoint("firewall.table-made");
  for (const strict of strictChains()) run(strictCommands(strict, needed));
}

/** Keeps the port of the container apart from the bridge's other such ports: what goes from one to another never reaches the IP layer. */
function isolatePort(call: PluginCall, isolated: boolean): void {
  if (call.netns === "") return; // gone with the namespace
  using host = openRtnetlink();
  using there = openRtnetlink({ netns: call.netns });
  const own = there.findLink(call.ifname);
  const end = own?.kind === "veth" && own.parent !== undefined ? host.findLink(own.parent) : undefined;
  if (end?.port === undefined || end.parent !== own?.index || end.port.isolated === isolated) return;
  host.linkSet(end.index, { port: { isolated } });
}

async function add(call: PluginCall): Promise<CniResult> {
  const { ingressPolicy, adminChain }: FirewallConfig = parseFirewallConfig(call);
  const result = chainedResult("firewall", call);
  const owner = ownerOf(attachmentOf(call));
  const policy: readonly FirewallEntry[] =
    ingressPolicy === "open" ? [] : [{ owner, kind: ingressPolicy, what: bridgeOf(result, ingressPolicy) }];
  const addresses = addressesOf(result).map((what): FirewallEntry => ({ owner, kind: "address", what }));
  await withRuleLock(call.signal, () => {
    const state = readState();
    const others = state.entries.filter((entry) => entry.owner !== owner);
    apply({ ...state, adminChain, entries: [...others, ...addresses, ...policy] });
  });
  if (ingressPolicy === "isolated") isolatePort(call, true);
  return result;
}

async function remove(call: PluginCall, isStale: (owner: string) => boolean): Promise<void> {
  await withRuleLock(call.signal, () => {
    const state = readState();
    const entries = state.entries.filter(({ owner }) => !isStale(owner));
    if (entries.length < state.entries.length) apply({ ...state, entries });
  });
}

/** Goes by the attachment alone: no result is needed. */
async function del(call: PluginCall): Promise<void> {
  const owner = ownerOf(attachmentOf(call));
  const teardown = new Teardown();
  await teardown.attempt(() => {
    if (readState().entries.some((entry) => entry.owner === owner && entry.kind === "isolated"))
      isolatePort(call, false);
  });
  await teardown.attempt(() => remove(call, (other) => other === owner));
  teardown.finish(`firewall: detach ${call.ifname} of ${call.containerId}`);
}

function check(call: PluginCall): void {
  const { ingressPolicy } = parseFirewallConfig(call);
  const result = reportedResult("firewall", call);
  const owner = ownerOf(attachmentOf(call));
  const entries = readState().entries.filter((entry) => entry.owner === owner);
  for (const address of addressesOf(result))
    if (!entries.some(({ kind, what }) => kind === "address" && what === address))
      throw differs("firewall", `${address} is not let through`);
  if (ingressPolicy !== "open" && !entries.some(({ kind }) => kind === ingressPolicy))
    throw differs("firewall", `the rules of ingressPolicy ${ingressPolicy} are gone`);
  for (const { table, chain } of strictChains())
    if (listTable(table)?.rules.some((rule) => rule.comment === strictComment) !== true)
      throw differs("firewall", `chain ${chain} of table ${table.family} ${table.name} drops what containers send`);
}

async function gc(call: PluginCall): Promise<void> {
  const prefix = masqueradePrefix(call.network);
  const valid = new Set(call.validAttachments.map((attachment) => ownerOf({ ...attachment, network: call.network })));
  await remove(call, (owner) => owner.startsWith(prefix) && !valid.has(owner));
}

function status(call: PluginCall): void {
  parseFirewallConfig(call);
  try {
    readState();
  } catch (error) {
    throw new CniError(cniCodes.pluginNotAvailable, `firewall: ${messageOf(error)}`, { cause: error });
  }
}

/** Lets a container's traffic through the host's forward chains, and keeps bridges apart. Stands behind bridge. */
export const firewall: CniPlugin = definePlugin({
  name: "firewall",
  add,
  del,
  check,
  gc,
  status,
  validate: parseFirewallConfig,
});
