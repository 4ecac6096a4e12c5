import { silentLogger } from "@tripod/base";
import {
  CniError,
  cniCodes,
  type CniPlugin,
  type CniResult,
  definePlugin,
  differs,
  parseCidr,
  type PluginCall,
  sameIp,
} from "@tripod/cni/sdk";
import { parseDhcpConfig } from "./dhcp-config.ts";
import { giveBack } from "./give-back.ts";
import { askDaemon, isAbsent } from "./lease-client.ts";
import { type LeaseKey, LeaseStore, leasesDir, lockLeases } from "./lease-store.ts";

const keyOf = ({ network, containerId, ifname }: PluginCall): LeaseKey => ({ network, containerId, ifname });

/** Does the daemon's work while there is none: a container must be able to go. Its record says all that is needed. */
function releaseAlone(socketPath: string, key: LeaseKey): void {
  using lock = lockLeases(socketPath);
  if (lock === undefined)
    throw new CniError(
      cniCodes.tryAgainLater,
      `DHCP daemon on ${socketPath}: one is just starting, or ending; try again`,
    );
  const store = new LeaseStore(leasesDir(socketPath));
  const record = store.get(key);
  if (record === undefined) return;
  giveBack(record, silentLogger);
  store.delete(record);
}

/** `ready` is called with the daemon's socket before each call. */
export function dhcpPlugin(ready: (socketPath: string) => Promise<void>): CniPlugin {
  const ask = async (call: PluginCall, question: Parameters<typeof askDaemon>[1]) => {
    const { socketPath } = parseDhcpConfig(call);
    await ready(socketPath);
    return askDaemon(socketPath, question, call.signal);
  };

  async function add(call: PluginCall): Promise<CniResult> {
    const { provide, request, priority } = parseDhcpConfig(call);
    const lease = { ...keyOf(call), netns: call.netns, provide, request };
    const terms = await ask(call, { ask: "acquire", request: lease });
    if (terms === undefined) throw new CniError(cniCodes.internal, "dhcp: the daemon gave no lease");
    const { address, gateway, routes, dns } = terms;
    return {
      cniVersion: call.cniVersion,
      interfaces: [],
      ips: [{ address, ...(gateway === undefined ? {} : { gateway }) }],
      routes: routes.map((route) => ({ ...route, ...(priority === undefined ? {} : { priority }) })),
      dns,
    };
  }

  async function check(call: PluginCall): Promise<void> {
    const terms = await ask(call, { ask: "check", key: keyOf(call) });
    const held = parseCidr(terms?.address ?? "").ip;
    const given = call.prevResult?.ips.map(({ address }) => parseCidr(address).ip) ?? [];
    if (!given.some((ip) => sameIp(ip, held)))
      throw differs("dhcp", `the lease of ${call.ifname} is for ${terms?.address ?? ""}, which ADD did not give`);
  }

  async function del(call: PluginCall): Promise<void> {
    try {
      await ask(call, { ask: "release", key: keyOf(call) });
    } catch (error) {
      if (!(error instanceof CniError && isAbsent(error.cause))) throw error;
      releaseAlone(parseDhcpConfig(call).socketPath, keyOf(call));
    }
  }

  return definePlugin({
    name: "dhcp",
    add,
    check,
    del,
    async gc(call) {
      await ask(call, { ask: "collect", network: call.network, valid: call.validAttachments });
    },
    async status(call) {
      await ask(call, { ask: "status" });
    },
    validate: parseDhcpConfig,
  });
}

/** IPAM from the DHCP servers of the network that the container's interface is in; a daemon keeps the leases. */
export const dhcp: CniPlugin = dhcpPlugin(async () => {});
