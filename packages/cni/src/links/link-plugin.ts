import { failpoint, messageOf, TripodError } from "@tripod/base";
import { isErrno, type Link, linkDeleteOffThread, openRtnetlink, type Rtnetlink } from "@tripod/linux";
import { CniError, cniCodes } from "../cni-error.ts";
import { type CniPlugin, definePlugin, type PluginCall } from "../plugin.ts";
import { type CniInterface, type CniResult, emptyResult } from "../result.ts";
import { applyOperations } from "./apply-operations.ts";
import { AttachmentTaken } from "./attachment-taken.ts";
import { checkInterface, differs } from "./check-interface.ts";
import { ipamOrder } from "./ipam-order.ts";
import type { LinkConfig } from "./link-config.ts";
import { planInterface } from "./plan-interface.ts";
import { settleAddresses } from "./settle-addresses.ts";
import { Teardown } from "./teardown.ts";

/** The two namespaces of an attachment. */
export interface LinkPlaces {
  readonly host: Rtnetlink;
  readonly there: Rtnetlink;
}

interface Addressed extends Pick<LinkPlaces, "there"> {
  readonly addresses: CniResult;
}

/** What tells one plugin that gives a container an interface from another. */
export interface LinkPluginDefinition<Config extends LinkConfig> {
  readonly name: string;
  /** Whether a configuration without `ipam` is refused; an interface of layer 2 alone is of no use to everyone. */
  readonly needsIpam: boolean;
  /** All checks that need no kernel. Throws "invalid". */
  parse(call: PluginCall): Config;
  /** What must hold on the host before, ADD aside: throws the reason why not. */
  ready?(config: Config, host: Rtnetlink): void;
  /** Puts the interface into the container's namespace under the name that the call has, down. May throw EEXIST. */
  make(call: PluginCall, config: Config, places: LinkPlaces): void | Promise<void>;
  /** Whether the container's interface is of the kind that make() makes: DEL takes away no other. */
  owns(link: Link): boolean;
  /** What beyond MAC, addresses and routes differs from what make() would have made; undefined when nothing does. */
  difference?(call: PluginCall, config: Config, link: Link, places: LinkPlaces): string | undefined;
  /** Whether the container gets what the kernel has no interface for, and the addresses go into the result alone. */
  withoutInterface?(config: Config): boolean;
  /** Takes the interface away; deletes it unless told otherwise. */
  remove?(call: PluginCall, link: Link): void | Promise<void>;
  /** More of the interface for the result. */
  describe?(config: Config): { readonly pciID?: string };
}

/**
 * A plugin that gives a container one interface and IPAM's addresses on it, and keeps nothing on the host: what upstream's macvlan, ipvlan,
 * vlan, dummy and tap have in common. ADD makes the interface, asks IPAM and then sets addresses and routes; what fails is taken back. DEL,
 * with or without the namespace, gives the addresses back; CHECK compares all of it; GC and STATUS go on to IPAM.
 */
export function defineLinkPlugin<Config extends LinkConfig>(definition: LinkPluginDefinition<Config>): CniPlugin {
  const { name } = definition;

  const parse = (call: PluginCall): Config => {
    const config = definition.parse(call);
    if (definition.needsIpam && config.ipam === undefined)
      throw new TripodError("invalid", `${name}: "ipam" is missing; its type names the plugin that gives addresses`);
    return config;
  };

  const taken = (call: PluginCall, cause?: unknown): AttachmentTaken =>
    new AttachmentTaken(`${name}: ${call.ifname} exists in ${call.netns}`, cause);

  const resultOf = (config: Config, addresses: CniResult, own: CniInterface): CniResult => ({
    ...addresses,
    interfaces: [{ ...own, ...definition.describe?.(config) }],
    ips: addresses.ips.map((ip) => ({ ...ip, interface: 0 })),
    dns: Object.keys(config.dns).length > 0 ? config.dns : addresses.dns,
  });

  /** Puts the interface into the container, where the kernel has one. */
  async function plug(call: PluginCall, config: Config, places: LinkPlaces): Promise<void> {
    if (places.there.findLink(call.ifname) !== undefined) throw taken(call);
    if (definition.withoutInterface?.(config) === true) return;
    try {
      await definition.make(call, config, places);
    } catch (error) {
      throw isErrno(error, "EEXIST") ? taken(call, error) : error;
    }
    failpoint(`${name}.made`);
  }

  function configure(call: PluginCall, config: Config, { addresses, there }: Addressed): CniResult {
    if (definition.withoutInterface?.(config) === true)
      return resultOf(config, addresses, { name: call.ifname, sandbox: call.netns });
    applyOperations(planInterface(call.ifname, addresses, { dad: config.enableDad }), there, {
      plugin: name,
      netns: call.netns,
    });
    const { name: ifname, mac, mtu } = there.linkByName(call.ifname);
    return resultOf(config, addresses, { name: ifname, mac, mtu, sandbox: call.netns });
  }

  async function add(call: PluginCall): Promise<CniResult> {
    const config = parse(call);
    const { ipam } = config;
    using host = openRtnetlink();
    using there = openRtnetlink({ netns: call.netns });
    try {
      await plug(call, config, { host, there });
      const addresses = ipam === undefined ? emptyResult(call.cniVersion) : await call.delegate(ipam, "ADD");
      failpoint(`${name}.ipam-added`);
      if (ipam !== undefined && addresses.ips.length === 0)
        throw new TripodError("invalid", `${name}: IPAM plugin ${ipam} gave no address`);
      const result = configure(call, config, { addresses, there });
      failpoint(`${name}.connected`);
      if (config.enableDad) await settleAddresses(name, call);
      return result;
    } catch (error) {
      if (!(error instanceof AttachmentTaken)) await undo(call, config, error);
      throw error;
    }
  }

  /** Takes back what a failed ADD had made; what cannot be taken back is told beside the reason. */
  async function undo(call: PluginCall, config: Config, reason: unknown): Promise<void> {
    try {
      await remove(call, config);
    } catch (error) {
      throw new AggregateError([reason, error], `${name}: ADD failed, and so did taking it back`);
    }
  }

  async function remove(call: PluginCall, config: Config): Promise<void> {
    const teardown = new Teardown();
    const giveBack = (ipam: string): unknown => call.delegate(ipam, "DEL");
    for (const step of ipamOrder(config.ipam, giveBack, () => removeLink(call))) await teardown.attempt(step);
    teardown.finish(`${name}: detach ${call.ifname} of ${call.containerId}`);
  }

  async function removeLink(call: PluginCall): Promise<void> {
    // Without its namespace it went with that.
    const link = call.netns === "" ? undefined : ownLink(call);
    if (link !== undefined && definition.owns(link)) {
      if (definition.remove === undefined) await linkDeleteOffThread(link.index, { netns: call.netns });
      else await definition.remove(call, link);
    }
    failpoint(`${name}.del.link-gone`);
  }

  async function check(call: PluginCall): Promise<void> {
    const config = parse(call);
    if (config.ipam !== undefined) await call.delegate(config.ipam, "CHECK");
    if (definition.withoutInterface?.(config) === true) return;
    using host = openRtnetlink();
    using there = openRtnetlink({ netns: call.netns });
    const own = checkInterface(name, call, { there });
    const what = definition.owns(own)
      ? definition.difference?.(call, config, own, { host, there })
      : `${call.ifname} is a ${own.kind ?? "network interface"}, which ${name} does not make`;
    if (what !== undefined) throw differs(name, what);
  }

  async function gc(call: PluginCall): Promise<void> {
    const { ipam } = parse(call);
    if (ipam !== undefined) await call.delegate(ipam, "GC");
  }

  async function status(call: PluginCall): Promise<void> {
    const config = parse(call);
    try {
      using host = openRtnetlink();
      definition.ready?.(config, host);
    } catch (error) {
      throw new CniError(cniCodes.pluginNotAvailable, `${name}: ${messageOf(error)}`, { cause: error });
    }
    if (config.ipam !== undefined) await call.delegate(config.ipam, "STATUS");
  }

  return definePlugin({ name, add, del: (call) => remove(call, parse(call)), check, gc, status, validate: parse });
}

function ownLink({ netns, ifname }: PluginCall): Link | undefined {
  using there = openRtnetlink({ netns });
  return there.findLink(ifname);
}
