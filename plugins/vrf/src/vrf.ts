import { failpoint, TripodError } from "@tripod/base";
import {
  chainedResult,
  type CniPlugin,
  type CniResult,
  definePlugin,
  differs,
  type PluginCall,
  reportedResult,
} from "@tripod/cni/sdk";
import { type Link, openRtnetlink, type Rtnetlink } from "@tripod/linux";
import { freeTable, joinVrf } from "./join-vrf.ts";
import { parseVrfConfig, type VrfConfig } from "./vrf-config.ts";

/** The VRF that the configuration names; undefined when there is none. Throws "invalid" for an interface of that name which is none. */
function findVrf(there: Rtnetlink, { name }: VrfConfig): (Link & { readonly table: number }) | undefined {
  const link = there.findLink(name);
  if (link === undefined) return undefined;
  if (link.vrfTable === undefined)
    throw new TripodError("invalid", `vrf: ${name} is a ${link.kind ?? "device"}, no VRF; choose another "vrfname"`);
  return { ...link, table: link.vrfTable };
}

/** The one there is, up, or a new one. */
function vrfFor(there: Rtnetlink, config: VrfConfig): { readonly index: number; readonly table: number } {
  const found = findVrf(there, config);
  if (found !== undefined) {
    if (config.table !== undefined && config.table !== found.table)
      throw new TripodError(
        "invalid",
        `vrf: ${config.name} is there with routing table ${found.table} instead of ${config.table}`,
      );
    if (!found.up) there.linkSet(found.index, { up: true }); // an ADD was cut off
    return found;
  }
  const table = config.table ?? freeTable(there);
  there.linkAdd({ kind: "vrf", name: config.name, table, up: true });
  failpoint("vrf.made");
  return { index: there.linkByName(config.name).index, table };
}

function add(call: PluginCall): CniResult {
  const config = parseVrfConfig(call);
  const result = chainedResult("vrf", call);
  using there = openRtnetlink({ netns: call.netns });
  const link = there.findLink(call.ifname);
  if (link === undefined)
    throw new TripodError("not-found", `vrf: there is no interface ${call.ifname} in ${call.netns}`);
  if (link.master !== undefined) {
    const master = there.findLink(link.master)?.name ?? `interface ${link.master}`;
    throw new TripodError("already-exists", `vrf: ${call.ifname} is in ${master}; DEL the attachment first`);
  }
  // One synchronous step: no other call of this process takes the same table.
  joinVrf(there, link, vrfFor(there, config));
  return result;
}

/** Takes the interface out, and the VRF away with its last one. */
function del(call: PluginCall): void {
  const config = parseVrfConfig(call);
  if (call.netns === "") return; // all of it went with the namespace
  using there = openRtnetlink({ netns: call.netns });
  const vrf = findVrf(there, config);
  if (vrf === undefined) return;
  const inside = there.links().filter(({ master }) => master === vrf.index);
  const own = inside.find(({ name }) => name === call.ifname);
  if (own !== undefined) there.linkSet(own.index, { master: "none" });
  failpoint("vrf.left");
  if (inside.every((link) => link === own)) there.linkDelete(vrf.name);
}

function check(call: PluginCall): void {
  const config = parseVrfConfig(call);
  reportedResult("vrf", call);
  using there = openRtnetlink({ netns: call.netns });
  const vrf = findVrf(there, config);
  if (vrf === undefined) throw differs("vrf", `there is no VRF ${config.name}`);
  if (!vrf.up) throw differs("vrf", `${config.name} is down`);
  if (config.table !== undefined && config.table !== vrf.table)
    throw differs("vrf", `${config.name} has the table ${vrf.table} instead of ${config.table}`);
  if (there.findLink(call.ifname)?.master !== vrf.index)
    throw differs("vrf", `${call.ifname} is not in ${config.name}`);
}

/** Puts a container's interface into a routing domain (VRF) of its own. Stands behind the plugin that made the interface. */
export const vrf: CniPlugin = definePlugin({
  name: "vrf",
  add,
  del,
  check,
  status(call) {
    parseVrfConfig(call);
  },
  validate: parseVrfConfig,
});
