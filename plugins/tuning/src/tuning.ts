import { accessSync, constants, mkdirSync } from "node:fs";
import { failpoint, isTripodError, messageOf, TripodError } from "@tripod/base";
import {
  chainedResult,
  CniError,
  cniCodes,
  type CniPlugin,
  type CniResult,
  definePlugin,
  differs,
  type PluginCall,
  reportedResult,
  Teardown,
} from "@tripod/cni/sdk";
import {
  type Link,
  type LinkChanges,
  namespaceIdentity,
  openRtnetlink,
  readSysctl,
  type Rtnetlink,
  writeSysctl,
} from "@tripod/linux";
import { type Backup, collectBackups, readBackup, removeBackup, writeBackup } from "./backup.ts";
import { checkAllowed } from "./sysctl-allowlist.ts";
import { parseTuningConfig, type TuningConfig } from "./tuning-config.ts";

/** The kernel separates the numbers of a list by tabs, people by spaces. */
const sameValue = (one: string, other: string): boolean =>
  one.trim().split(/\s+/).join(" ") === other.trim().split(/\s+/).join(" ");

function ownLink(call: PluginCall, there: Rtnetlink): Link {
  const link = there.findLink(call.ifname);
  if (link !== undefined) return link;
  throw new TripodError("not-found", `tuning: there is no interface ${call.ifname} in ${call.netns}`);
}

const changesOf = (config: TuningConfig): LinkChanges => ({
  mac: config.mac,
  mtu: config.mtu,
  promiscuous: config.promiscuous ? true : undefined,
  allMulticast: config.allMulticast,
  txQueueLength: config.txQueueLength,
});

const isEmpty = (changes: LinkChanges): boolean => Object.values(changes).every((value) => value === undefined);

/** What is to be changed, as it is now. An earlier ADD, that a crash ended, may have changed it already: then what that one had found. */
function backupOf(call: PluginCall, config: TuningConfig, link: Link): Backup {
  const namespace = namespaceIdentity(call.netns);
  const found = readBackup(config.dataDir, call);
  const earlier = found?.namespace === namespace ? found : undefined;
  const sysctls = config.sysctls.map(({ name }) => ({ name, value: readSysctl(name, { net: call.netns }) }));
  const known = new Set(earlier?.sysctls.map(({ name }) => name));
  const before = <T>(asked: boolean, was: T | undefined, is: T): T | undefined => was ?? (asked ? is : undefined);
  return {
    network: call.network,
    namespace,
    mac: before(config.mac !== undefined, earlier?.mac, link.mac),
    mtu: before(config.mtu !== undefined, earlier?.mtu, link.mtu),
    promiscuous: before(config.promiscuous, earlier?.promiscuous, link.promiscuous),
    allMulticast: before(config.allMulticast !== undefined, earlier?.allMulticast, link.allMulticast),
    txQueueLength: before(config.txQueueLength !== undefined, earlier?.txQueueLength, link.txQueueLength),
    sysctls: [...(earlier?.sysctls ?? []), ...sysctls.filter(({ name }) => !known.has(name))],
  };
}

function add(call: PluginCall): CniResult {
  const config = parseTuningConfig(call);
  const result = chainedResult("tuning", call);
  checkAllowed(config.sysctls.map(({ name }) => name.replaceAll("/", ".")));
  const changes = changesOf(config);
  if (config.sysctls.length === 0 && isEmpty(changes)) return result;
  using there = openRtnetlink({ netns: call.netns });
  const link = ownLink(call, there);
  writeBackup(config.dataDir, call, backupOf(call, config, link));
  failpoint("tuning.recorded");
  for (const { name, value } of config.sysctls) writeSysctl(name, { value, net: call.netns });
  failpoint("tuning.sysctls-set");
  if (!isEmpty(changes)) there.linkSet(link.index, changes);
  failpoint("tuning.link-set");
  return {
    ...result,
    interfaces: result.interfaces.map((each) =>
      each.name === call.ifname && (each.sandbox ?? "") !== ""
        ? {
            ...each,
            ...(config.mac === undefined ? {} : { mac: config.mac }),
            ...(config.mtu === undefined || each.mtu === undefined ? {} : { mtu: config.mtu }),
          }
        : each,
    ),
  };
}

/** Gives the interface back as it was found: one that a plugin only borrowed (host-device) goes on being used. */
async function del(call: PluginCall): Promise<void> {
  const { dataDir } = parseTuningConfig(call);
  const backup = readBackup(dataDir, call);
  const teardown = new Teardown();
  if (backup !== undefined && call.netns !== "") await restore(call, backup, teardown);
  teardown.finish(`tuning: restore ${call.ifname} of ${call.containerId}`);
  removeBackup(dataDir, call);
}

async function restore(call: PluginCall, backup: Backup, teardown: Teardown): Promise<void> {
  for (const { name, value } of backup.sysctls) {
    await teardown.attempt(() => {
      try {
        if (readSysctl(name, { net: call.netns }) !== value) writeSysctl(name, { value, net: call.netns });
      } catch (error) {
        if (!isTripodError(error, "not-found")) throw error; // its interface is gone
      }
    });
  }
  using there = openRtnetlink({ netns: call.netns });
  const link = there.findLink(call.ifname);
  if (link === undefined) return;
  const { mtu, mac, promiscuous, allMulticast, txQueueLength } = backup;
  for (const changes of [{ mtu }, { mac }, { promiscuous }, { allMulticast }, { txQueueLength }])
    if (!isEmpty(changes)) await teardown.attempt(() => there.linkSet(link.index, changes));
}

function check(call: PluginCall): void {
  const config = parseTuningConfig(call);
  reportedResult("tuning", call);
  for (const { name, value } of config.sysctls) {
    const found = readSysctl(name, { net: call.netns });
    if (!sameValue(found, value)) throw differs("tuning", `${name} is ${found} instead of ${value}`);
  }
  using there = openRtnetlink({ netns: call.netns });
  const link = there.findLink(call.ifname);
  if (link === undefined) throw differs("tuning", `${call.ifname} is gone from ${call.netns}`);
  for (const key of ["mac", "mtu", "promiscuous", "allMulticast", "txQueueLength"] as const) {
    const wanted = changesOf(config)[key];
    if (wanted !== undefined && link[key] !== wanted)
      throw differs("tuning", `${key} of ${call.ifname} is ${link[key]} instead of ${wanted}`);
  }
}

function gc(call: PluginCall): void {
  const { dataDir } = parseTuningConfig({ ...call, ifname: "IFNAME" });
  collectBackups(dataDir, call.network, call.validAttachments);
}

function status(call: PluginCall): void {
  const { dataDir } = parseTuningConfig({ ...call, ifname: "IFNAME" });
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    accessSync(dataDir, constants.W_OK);
  } catch (cause) {
    throw new CniError(cniCodes.pluginNotAvailable, `tuning: cannot write to ${dataDir}: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** Kernel parameters of the container's namespace and settings of its interface. Stands behind the plugin that made the interface. */
export const tuning: CniPlugin = definePlugin({
  name: "tuning",
  add,
  del,
  check,
  gc,
  status,
  validate: parseTuningConfig,
});
