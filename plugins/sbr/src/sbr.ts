import { failpoint, TripodError } from "@tripod/base";
import {
  chainedResult,
  type CniPlugin,
  type CniResult,
  definePlugin,
  differs,
  formatCidr,
  parseCidr,
  type PluginCall,
  reportedResult,
} from "@tripod/cni/sdk";
import { isErrno, openRtnetlink, type Rtnetlink, type Rule } from "@tripod/linux";
import { planSbr, type SbrAddress } from "./plan-sbr.ts";
import { parseSbrConfig } from "./sbr-config.ts";

/** The addresses of the call's interface; those that name no interface count as its own. */
const addressesOf = ({ ifname }: PluginCall, { ips, interfaces }: CniResult): readonly SbrAddress[] =>
  ips
    .filter(
      (ip) =>
        ip.interface === undefined ||
        interfaces[ip.interface] === undefined ||
        interfaces[ip.interface]?.name === ifname,
    )
    .map(({ address, gateway }) => ({ address, gateway }));

/** An address as a rule has it. */
function sourceOf(address: string): string {
  const { ip } = parseCidr(address);
  return formatCidr({ ip, prefix: ip.family === 4 ? 32 : 128 });
}

const isLocal = ({ table }: Rule): boolean => table === 253 || table === 254 || table === 255;

/** Takes away the rules for packets from `sources`: of one table when it is named, else of all but the kernel's own. */
function deleteRules(there: Rtnetlink, sources: ReadonlySet<string>, table: number | undefined): void {
  for (const rule of there.rules()) {
    if (rule.from === undefined || !sources.has(rule.from)) continue;
    if (table === undefined ? isLocal(rule) : rule.table !== table) continue;
    try {
      there.ruleDelete(rule);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error; // somebody else was quicker
    }
  }
}

function add(call: PluginCall): CniResult {
  const config = parseSbrConfig(call);
  const result = chainedResult("sbr", call);
  const addresses = addressesOf(call, result);
  if (addresses.length === 0)
    throw new TripodError(
      "invalid",
      `sbr: the result has no address of ${call.ifname}, whose source could be routed by`,
    );
  using there = openRtnetlink({ netns: call.netns });
  const link = there.findLink(call.ifname);
  if (link === undefined)
    throw new TripodError("not-found", `sbr: there is no interface ${call.ifname} in ${call.netns}`);
  // One synchronous step: no other call of this process takes the same table. An ADD asked again begins anew.
  deleteRules(there, new Set(addresses.map(({ address }) => sourceOf(address))), config.table);
  const state = { index: link.index, rules: there.rules(), routes: there.routes() };
  for (const operation of planSbr(config, addresses, state)) {
    switch (operation.kind) {
      case "add-rule":
        there.ruleAdd(operation.rule);
        break;
      case "replace-route":
        there.routeReplace(operation.route);
        break;
      case "delete-route":
        there.routeDelete(operation.route);
        break;
    }
    failpoint(`sbr.${operation.kind}`);
  }
  return result;
}

/** The routes go with the interface; the rules would stay. */
function del(call: PluginCall): void {
  const { table } = parseSbrConfig(call);
  if (call.netns === "") return; // gone with the namespace
  using there = openRtnetlink({ netns: call.netns });
  const link = there.findLink(call.ifname);
  const told = call.prevResult === undefined ? [] : addressesOf(call, call.prevResult);
  const found = link === undefined ? [] : there.addresses({ index: link.index });
  // Whoever deletes the interface first would have left the rules to whom upstream's DEL leaves them: nobody.
  deleteRules(there, new Set([...told, ...found].map(({ address }) => sourceOf(address))), table);
}

function check(call: PluginCall): void {
  const { table } = parseSbrConfig(call);
  const result = reportedResult("sbr", call);
  using there = openRtnetlink({ netns: call.netns });
  const rules = there.rules();
  for (const { address } of addressesOf(call, result)) {
    const source = sourceOf(address);
    const rule = rules.find(
      (each) => each.from === source && (table === undefined ? !isLocal(each) : each.table === table),
    );
    if (rule === undefined) throw differs("sbr", `no rule leads what comes from ${address} into a table`);
    if (there.routes({ table: rule.table }).length === 0)
      throw differs("sbr", `table ${rule.table}, for what comes from ${address}, is empty`);
  }
}

/** Routing by source: what comes from an interface's addresses leaves by that interface. Stands behind the plugin that made it. */
export const sbr: CniPlugin = definePlugin({
  name: "sbr",
  add,
  del,
  check,
  status(call) {
    parseSbrConfig(call);
  },
  validate: parseSbrConfig,
});
