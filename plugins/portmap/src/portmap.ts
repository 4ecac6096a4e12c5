import { failpoint, messageOf } from "@tripod/base";
import {
  CniError,
  cniCodes,
  type CniPlugin,
  type CniResult,
  deleteCommands,
  deleteRules,
  definePlugin,
  formatIp,
  type Ip,
  listTable,
  makeTable,
  type PluginCall,
  withRuleLock,
} from "@tripod/cni/sdk";
import { nft, openRtnetlink, readSysctl, writeSysctl } from "@tripod/linux";
import { forgetConnections } from "./forget-connections.ts";
import { hostportCommands, hostportTables, ownersChain, mappingsFor, ruleCount, tableOf } from "./hostport-rules.ts";
import { linkTowards, mainTable } from "./link-towards.ts";
import { containerAddresses, parsePortmapConfig } from "./portmap-config.ts";

function required(call: PluginCall): CniResult {
  if (call.prevResult !== undefined) return call.prevResult;
  throw new CniError(
    cniCodes.invalidConfig,
    "portmap: prevResult is missing; put it behind a plugin that makes an interface",
  );
}

async function add(call: PluginCall): Promise<CniResult> {
  const config = parsePortmapConfig(call);
  const result = required(call);
  if (config.mappings.length === 0) return result;
  const addresses = containerAddresses(result);
  if (addresses.length === 0)
    throw new CniError(cniCodes.invalidConfig, "portmap: the container has no address to map ports to");
  if (config.snat) allowLocalnet(addresses);
  await withRuleLock(call.signal, () => {
    // An ADD asked again replaces what the first had made.
    const commands = hostportTables.flatMap((table) => {
      const content = listTable(table);
      const rules = addresses
        .filter(({ family }) => tableOf(family) === table)
        .flatMap((address) => hostportCommands(config, address, call, content));
      const stale = deleteCommands(table, content, (comment) => comment === call.containerId);
      return rules.length === 0 ? stale : [...makeTable(table, content), ...stale, ...rules];
    });
    if (commands.length > 0) nft(`${commands.join("\n")}\n`);
    failpoint("portmap.added");
  });
  // A client that has been sending would go on being led to where the port led before.
  forgetConnections(
    addresses.flatMap((address) =>
      mappingsFor(config, address).map((mapping) => ({ ...mapping, family: address.family })),
    ),
  );
  return result;
}

/** Lets packets from 127.0.0.1 out on the interface behind which the container is. */
function allowLocalnet(addresses: readonly Ip[]): void {
  const four = addresses.find(({ family }) => family === 4);
  if (four === undefined) return;
  using host = openRtnetlink();
  const index = linkTowards(host.routes({ family: "ipv4", table: mainTable }), four);
  const link = index === undefined ? undefined : host.findLink(index);
  if (link === undefined || link.loopback) return;
  const name = `net/ipv4/conf/${link.name}/route_localnet`;
  if (readSysctl(name) !== "1") writeSysctl(name, { value: "1" });
}

/** Goes by the container's id alone: it does not matter whether the mappings are told again (upstream's DEL leaks without them). */
async function del(call: PluginCall): Promise<void> {
  await withRuleLock(call.signal, () => {
    for (const table of hostportTables) deleteRules(table, (comment) => comment === call.containerId);
  });
}

function check(call: PluginCall): void {
  const config = parsePortmapConfig(call);
  for (const address of containerAddresses(required(call))) {
    const wanted = ruleCount(config, address);
    if (wanted === 0) continue;
    const rules = listTable(tableOf(address.family))?.rules ?? [];
    const found = rules.filter((rule) => rule.comment === call.containerId).length;
    if (found < wanted) {
      throw new CniError(
        cniCodes.unknownContainer,
        `portmap CHECK: ${found} of ${wanted} rules for ${formatIp(address)} are there; DEL and ADD it again`,
      );
    }
  }
}

/** Comments name containers alone, whatever their network: who belongs to this one, a chain of its own says. */
async function gc(call: PluginCall): Promise<void> {
  const valid = new Set(call.validAttachments.map(({ containerId }) => containerId));
  await withRuleLock(call.signal, () => {
    for (const table of hostportTables) {
      const owners = (listTable(table)?.rules ?? []).filter((rule) => rule.chain === ownersChain(call.network));
      const stale = new Set(owners.map((rule) => rule.comment).filter((containerId) => !valid.has(containerId)));
      if (stale.size > 0) deleteRules(table, (comment) => stale.has(comment));
    }
  });
}

function status(call: PluginCall): void {
  parsePortmapConfig(call);
  try {
    nft("list tables");
  } catch (error) {
    throw new CniError(cniCodes.pluginNotAvailable, `portmap: ${messageOf(error)}`, { cause: error });
  }
}

/** Ports of the host that lead to a container, by nftables. Stands behind the plugin that made the container's interface. */
export const portmap: CniPlugin = definePlugin({
  name: "portmap",
  add,
  del,
  check,
  gc,
  status,
  validate: parsePortmapConfig,
});
