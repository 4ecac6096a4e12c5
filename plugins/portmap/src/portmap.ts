import { failpoint, isTripodError, messageOf } from "@tripod/base";
import {
  CniError,
  cniCodes,
  type CniPlugin,
  type CniResult,
  deleteRules,
  definePlugin,
  formatIp,
  type Ip,
  listTable,
  type PluginCall,
  withRuleLock,
} from "@tripod/cni/sdk";
import { nft, openRtnetlink, readSysctl, writeSysctl } from "@tripod/linux";
import { forgetConnections } from "./forget-connections.ts";
import {
  conditionFor,
  createCommands,
  type HostportOwner,
  mappingsFor,
  releaseCommands,
  replaceCommands,
  wantedElements,
} from "./hostport-elements.ts";
import {
  hostportTables,
  listElements,
  ownerName,
  ownersOf,
  tableCommands,
  tableOf,
  upstreamTables,
} from "./hostport-table.ts";
import { linkTowards, mainTable } from "./link-towards.ts";
import { containerAddresses, parsePortmapConfig, type PortmapConfig } from "./portmap-config.ts";

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
    mapPorts(config, addresses, call);
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

/** All in one transaction; an ADD asked again replaces what the first had made. */
function mapPorts(config: PortmapConfig, addresses: readonly Ip[], owner: HostportOwner): void {
  const parts = addresses.flatMap((address) => {
    const elements = wantedElements(config, address, owner);
    return elements.length === 0 ? [] : [{ address, elements, table: tableOf(address.family) }];
  });
  const run = (replacing: boolean): void => {
    const commands = parts.flatMap(({ address, elements, table }) => [
      ...tableCommands(address.family, conditionFor(config, address), { content: listTable(table), snat: config.snat }),
      ...(replacing ? replaceCommands(table, elements, owner) : []),
      ...createCommands(table, elements),
    ]);
    if (commands.length > 0) nft(`${commands.join("\n")}\n`);
  };
  try {
    run(false);
  } catch (error) {
    if (!isTripodError(error, "already-exists")) throw error;
    run(true); // what is in the way is looked for only then: that takes the longer the more there is
  }
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

/** Takes away what these containers have, also of upstream's making. Inside withRuleLock(). */
function release(isReleased: (name: string) => boolean): void {
  const commands = releaseCommands(isReleased);
  if (commands.length > 0) nft(`${commands.join("\n")}\n`);
  for (const table of upstreamTables) deleteRules(table, isReleased);
}

/** Goes by the container's id alone: it does not matter whether the mappings are told again (upstream's DEL leaks without them). */
async function del(call: PluginCall): Promise<void> {
  const name = ownerName(call.containerId);
  await withRuleLock(call.signal, () => release((other) => other === name));
}

function check(call: PluginCall): void {
  const config = parsePortmapConfig(call);
  for (const address of containerAddresses(required(call))) {
    const table = tableOf(address.family);
    const wanted = wantedElements(config, address, call);
    if (wanted.length === 0) continue;
    const condition = conditionFor(config, address);
    const changed = tableCommands(address.family, condition, { content: listTable(table), snat: config.snat });
    const there = new Set(listElements(table).map(({ set, key, comment }) => `${set} ${key} ${comment}`));
    const missing = wanted.filter(({ set, key, comment }) => !there.has(`${set} ${key} ${comment}`));
    if (missing.length === 0 && changed.length === 0) continue;
    const what = missing.length > 0 ? missing.map(({ set, key }) => `${set} { ${key} }`).join(", ") : "rules";
    throw new CniError(
      cniCodes.unknownContainer,
      `portmap CHECK: of what leads to ${formatIp(address)}, ${what} of table ${table.name} are not as they were made; DEL and ADD it again`,
    );
  }
}

/** Comments name containers alone, whatever their network: who belongs to this one, the set of owners says. */
async function gc(call: PluginCall): Promise<void> {
  const valid = new Set(call.validAttachments.map(({ containerId }) => ownerName(containerId)));
  await withRuleLock(call.signal, () => {
    const owners = hostportTables.flatMap((table) => ownersOf(call.network, listElements(table)));
    const stale = new Set(owners.filter((name) => !valid.has(name)));
    if (stale.size > 0) release((name) => stale.has(name));
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
