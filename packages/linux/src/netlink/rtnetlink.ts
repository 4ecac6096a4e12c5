import { randomHex } from "@tripod/base";
import { type Address, type AddressFilter, type AddressSpec, addresses, changeAddress } from "./addresses.ts";
import { text, u32 } from "./attribute.ts";
import { type BridgeVlan, type BridgeVlanChange, bridgeVlanAdd, bridgeVlanDelete, bridgeVlans } from "./bridge-vlan.ts";
import { decodeLink, type Link } from "./link.ts";
import { type LinkSpec, linkAdd } from "./link-add.ts";
import { checkLinkName, encodeLinkMessage } from "./link-message.ts";
import { type LinkChanges, linkSet } from "./link-set.ts";
import { NLM_F } from "./message.ts";
import { changeNeighbour, type Neighbour, type NeighbourFilter, type NeighbourSpec, neighbours } from "./neighbours.ts";
import { type Qdisc, qdiscs } from "./qdiscs.ts";
import { changeRoute, type Route, type RouteFilter, type RouteSpec, routes } from "./routes.ts";
import { IFLA, RTEXT_FILTER, RTM } from "./rtnetlink-numbers.ts";
import { changeRule, type Rule, type RuleSpec, rules } from "./rules.ts";
import { NetlinkSocket } from "./socket.ts";
import { isErrno, SystemCallError } from "../system-call-error.ts";

/** An interface by index or by name. */
export type LinkReference = number | string;

/**
 * The network configuration of one namespace. All calls are synchronous and throw SystemCallError with the kernel's reason.
 * Dispose of it when done: it keeps the namespace alive.
 */
export class Rtnetlink implements Disposable {
  readonly #socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** All interfaces. */
  links(): Link[] {
    const replies = this.#socket.request({
      name: "RTM_GETLINK",
      object: "links",
      type: RTM.GETLINK,
      flags: NLM_F.DUMP,
      body: encodeLinkMessage({ attributes: [u32(IFLA.EXT_MASK, RTEXT_FILTER.SKIP_STATS)] }),
    });
    return replies.map(({ body }) => decodeLink(body));
  }

  /** The interface, or undefined when there is none. */
  findLink(link: LinkReference): Link | undefined {
    const byName = typeof link === "string";
    try {
      const [reply] = this.#socket.request({
        name: "RTM_GETLINK",
        object: String(link),
        type: RTM.GETLINK,
        body: byName
          ? encodeLinkMessage({ attributes: [text(IFLA.IFNAME, checkLinkName(link))] })
          : encodeLinkMessage({ index: link }),
      });
      return reply === undefined ? undefined : decodeLink(reply.body);
    } catch (error) {
      if (isErrno(error, "ENODEV")) return undefined;
      throw error;
    }
  }

  /** The interface; "not-found" (ENODEV) when there is none. */
  linkByName(name: string): Link {
    const link = this.findLink(name);
    if (link === undefined) throw new SystemCallError("RTM_GETLINK", name, "ENODEV", "no such interface");
    return link;
  }

  /** Makes an interface. With `netns` in the specification it is not in this namespace, and cannot be found by this object. */
  linkAdd(spec: LinkSpec): void {
    try {
      linkAdd(this.#socket, spec);
    } catch (error) {
      // Linux 6.1 and its like also look for the name here, and not only where the link is to be.
      const taken = spec.netns !== undefined && isErrno(error, "EEXIST") && this.findLink(spec.name) !== undefined;
      if (!taken) throw error;
      this.#linkAddRenamed(spec);
    }
    // What the kernel does not take along with the request for the link itself.
    try {
      if (spec.alias !== undefined) this.#linkSetIn(spec.netns, spec.name, { alias: spec.alias });
      if (spec.kind === "veth" && spec.peer.up === true) this.#linkSetIn(spec.peer.netns, spec.peer.name, { up: true });
    } catch (error) {
      this.#linkDeleteIn(spec.netns, spec.name);
      throw error;
    }
  }

  /** Makes the link under a name that nobody has, and renames it where it is. */
  #linkAddRenamed(spec: LinkSpec): void {
    const name = `new${randomHex(6)}`;
    linkAdd(this.#socket, { ...spec, name, up: undefined });
    try {
      this.#linkSetIn(spec.netns, name, { name: spec.name });
      if (spec.up === true) this.#linkSetIn(spec.netns, spec.name, { up: true });
    } catch (error) {
      this.#linkDeleteIn(spec.netns, name);
      throw error;
    }
  }

  #linkSetIn(netns: string | undefined, name: string, changes: LinkChanges): void {
    if (netns === undefined) this.linkSet(name, changes);
    else {
      using there = openRtnetlink({ netns });
      there.linkSet(name, changes);
    }
  }

  #linkDeleteIn(netns: string | undefined, name: string): void {
    if (netns === undefined) this.linkDelete(name);
    else {
      using there = openRtnetlink({ netns });
      there.linkDelete(name);
    }
  }

  linkSet(link: LinkReference, changes: LinkChanges): void {
    linkSet(this.#socket, this.#index(link), String(link), changes);
  }

  /** Deletes an interface (a veth's other end goes with it): true when it was there. */
  linkDelete(link: LinkReference): boolean {
    try {
      const byName = typeof link === "string";
      this.#socket.request({
        name: "RTM_DELLINK",
        object: String(link),
        type: RTM.DELLINK,
        body: byName
          ? encodeLinkMessage({ attributes: [text(IFLA.IFNAME, checkLinkName(link))] })
          : encodeLinkMessage({ index: link }),
      });
      return true;
    } catch (error) {
      if (isErrno(error, "ENODEV")) return false;
      throw error;
    }
  }

  #index(link: LinkReference): number {
    return typeof link === "number" ? link : this.linkByName(link).index;
  }

  /** VLANs of all bridges and ports, by index of the link. */
  bridgeVlans(): Map<number, BridgeVlan[]> {
    return bridgeVlans(this.#socket);
  }

  bridgeVlanAdd(change: BridgeVlanChange): void {
    bridgeVlanAdd(this.#socket, change);
  }

  bridgeVlanDelete(change: BridgeVlanChange): void {
    bridgeVlanDelete(this.#socket, change);
  }

  addresses(filter?: AddressFilter): Address[] {
    return addresses(this.#socket, filter);
  }

  addressAdd(spec: AddressSpec): void {
    changeAddress(this.#socket, "add", spec);
  }

  /** Adds the address, or changes the flags of the one that is there. */
  addressReplace(spec: AddressSpec): void {
    changeAddress(this.#socket, "replace", spec);
  }

  addressDelete(spec: Pick<AddressSpec, "index" | "address">): void {
    changeAddress(this.#socket, "delete", spec);
  }

  routes(filter?: RouteFilter): Route[] {
    return routes(this.#socket, filter);
  }

  routeAdd(spec: RouteSpec): void {
    changeRoute(this.#socket, "add", spec);
  }

  /** Adds the route, or puts it in place of the one with the same destination, table and metric. */
  routeReplace(spec: RouteSpec): void {
    changeRoute(this.#socket, "replace", spec);
  }

  /** Deletes the first route that matches what is given; ESRCH when there is none. */
  routeDelete(spec: RouteSpec): void {
    changeRoute(this.#socket, "delete", spec);
  }

  rules(filter?: Parameters<typeof rules>[1]): Rule[] {
    return rules(this.#socket, filter);
  }

  ruleAdd(spec: RuleSpec): void {
    changeRule(this.#socket, "add", spec);
  }

  ruleDelete(spec: RuleSpec): void {
    changeRule(this.#socket, "delete", spec);
  }

  /** The queueing disciplines of an interface; traffic-control.ts changes them. */
  qdiscs(index: number): Qdisc[] {
    return qdiscs(this.#socket, index);
  }

  neighbours(filter?: NeighbourFilter): Neighbour[] {
    return neighbours(this.#socket, filter);
  }

  neighbourAdd(spec: NeighbourSpec): void {
    changeNeighbour(this.#socket, "add", spec);
  }

  /** Adds one more destination for the same MAC (VXLAN). */
  neighbourAppend(spec: NeighbourSpec): void {
    changeNeighbour(this.#socket, "append", spec);
  }

  neighbourReplace(spec: NeighbourSpec): void {
    changeNeighbour(this.#socket, "replace", spec);
  }

  neighbourDelete(spec: NeighbourSpec): void {
    changeNeighbour(this.#socket, "delete", spec);
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

export const NETLINK_ROUTE = 0;

/** Opens the network configuration of the namespace at `netns`, or of the caller's. */
export const openRtnetlink = (options: { readonly netns?: string | undefined } = {}): Rtnetlink =>
  new Rtnetlink(new NetlinkSocket(NETLINK_ROUTE, options));

/** Brings `lo` up in the namespace at `netns`, which gives it 127.0.0.1 and ::1. Idempotent. */
export function bringUpLoopback(netns: string): void {
  using rtnetlink = openRtnetlink({ netns });
  rtnetlink.linkSet("lo", { up: true });
}
