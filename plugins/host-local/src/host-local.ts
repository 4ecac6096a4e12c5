import { accessSync, constants, mkdirSync } from "node:fs";
import { join } from "node:path";
import { failpoint, messageOf } from "@tripod/base";
import {
  type AttachmentKey,
  CniError,
  cniCodes,
  type CniIp,
  type CniPlugin,
  type CniResult,
  definePlugin,
  formatCidr,
  formatIp,
  parseCidr,
  type PluginCall,
} from "@tripod/cni/sdk";
import { type Allocated, allocateNext, allocateWanted, type Reservations } from "./allocate.ts";
import { inRange } from "./address-range.ts";
import { type HostLocalConfig, parseHostLocalConfig } from "./host-local-config.ts";
import { ReservationStore } from "./reservation-store.ts";

const where = (config: HostLocalConfig, { network, signal }: PluginCall) => ({
  dataDir: config.dataDir,
  network,
  signal,
});

async function reserveAll(config: HostLocalConfig, store: ReservationStore, key: AttachmentKey): Promise<Allocated[]> {
  const reservations: Reservations = {
    isTaken: (ip) => store.isTaken(ip),
    taken: () => store.taken(),
    reserve: (ip) => store.reserve(ip, key),
  };
  const wanted = [...config.wanted];
  const allocated: Allocated[] = [];
  for (const [index, set] of config.sets.entries()) {
    const found = wanted.findIndex((ip) => set.some((range) => inRange(range, ip)));
    const [ip] = found < 0 ? [] : wanted.splice(found, 1);
    const one =
      ip === undefined
        ? await allocateNext(set, store.lastReserved(index), reservations)
        : allocateWanted(set, ip, reservations);
    store.rememberLast(index, formatIp(one.ip));
    allocated.push(one);
    failpoint("host-local.add.reserved");
  }
  return allocated;
}

async function add(call: PluginCall): Promise<CniResult> {
  const config = parseHostLocalConfig(call);
  const key: AttachmentKey = { containerId: call.containerId, ifname: call.ifname };
  const what = `reserve an address in network ${call.network} for ${call.ifname} of ${call.containerId}`;
  const allocated = await ReservationStore.locked(where(config, call), async (store) => {
    const held = store.addressesOf(key);
    if (held.length > 0)
      throw new CniError(cniCodes.internal, `${what}: it holds ${held.join(", ")} already; DEL it first`);
    try {
      return await reserveAll(config, store, key);
    } catch (error) {
      store.release(key);
      throw new CniError(cniCodes.internal, `${what}: ${messageOf(error)}`, { cause: error });
    }
  });
  const ips = allocated.map(
    ({ ip, range }): CniIp => ({
      address: formatCidr({ ip, prefix: range.subnet.prefix }),
      gateway: formatIp(range.gateway),
    }),
  );
  return { cniVersion: call.cniVersion, interfaces: [], ips, routes: config.routes, dns: config.dns };
}

async function del(call: PluginCall): Promise<void> {
  const config = parseHostLocalConfig({ config: withoutRequests(call), args: new Map() });
  await ReservationStore.locked(where(config, call), async (store) => {
    store.release({ containerId: call.containerId, ifname: call.ifname });
  });
}

/** What ADD was asked for may no longer fit the ranges; giving back must work all the same. */
function withoutRequests({ config }: PluginCall): PluginCall["config"] {
  const { runtimeConfig: _runtime, args: _args, ...rest } = config;
  const { ipam } = config;
  const hasRanges = typeof ipam === "object" && ipam !== null && ("ranges" in ipam || "subnet" in ipam);
  return hasRanges ? rest : config;
}

async function check(call: PluginCall): Promise<void> {
  const config = parseHostLocalConfig(call);
  const key: AttachmentKey = { containerId: call.containerId, ifname: call.ifname };
  await ReservationStore.locked(where(config, call), async (store) => {
    const held = new Set(store.addressesOf(key));
    const given = (call.prevResult?.ips ?? [])
      .map((ip) => parseCidr(ip.address).ip)
      .filter((ip) => config.sets.some((set) => set.some((range) => inRange(range, ip))))
      .map(formatIp);
    const missing = held.size === 0 ? ["any address"] : given.filter((ip) => !held.has(ip));
    if (missing.length > 0) {
      throw new CniError(
        cniCodes.unknownContainer,
        `network ${call.network}: ${missing.join(", ")} is not reserved for ${key.ifname} of ${key.containerId}; DEL and ADD it again`,
      );
    }
  });
}

async function gc(call: PluginCall): Promise<void> {
  const config = parseHostLocalConfig(call);
  const valid = new Set(call.validAttachments.map(({ containerId, ifname }) => `${containerId}/${ifname}`));
  // Upstream's reservations of old name no interface: such a one is valid while its container is.
  for (const { containerId } of call.validAttachments) valid.add(`${containerId}/`);
  await ReservationStore.locked(where(config, call), async (store) => {
    for (const owner of store.owners()) {
      if (!valid.has(`${owner.containerId}/${owner.ifname}`)) store.release(owner);
    }
  });
}

function status(call: PluginCall): void {
  const { dataDir } = parseHostLocalConfig(call);
  const dir = join(dataDir, call.network);
  try {
    mkdirSync(dir, { recursive: true, mode: 0o755 });
    accessSync(dir, constants.W_OK);
  } catch (cause) {
    throw new CniError(cniCodes.pluginNotAvailable, `host-local: cannot write to ${dir}: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** IPAM from ranges on this host, with its data in upstream host-local's layout. */
export const hostLocal: CniPlugin = definePlugin({
  name: "host-local",
  add,
  del,
  check,
  gc,
  status,
  validate: parseHostLocalConfig,
});
