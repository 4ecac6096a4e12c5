import { closeSync, openSync } from "node:fs";
import { type Attribute, be16, bytes, flag, nested, text, u16, u32, u8, when } from "./attribute.ts";
import { parseAddress } from "./ip-address.ts";
import { checkLinkName, encodeLinkMessage } from "./link-message.ts";
import { parseMac } from "./mac-address.ts";
import { NLM_F } from "./message.ts";
import {
  IFF,
  IFLA,
  IFLA_BR,
  IFLA_INFO,
  IFLA_IPVLAN_MODE,
  IFLA_MACVLAN,
  IFLA_VLAN,
  IFLA_VRF_TABLE,
  IFLA_VXLAN,
  RTM,
  VETH_INFO_PEER,
} from "./rtnetlink-numbers.ts";
import type { NetlinkSocket } from "./socket.ts";

interface CommonLinkSpec {
  readonly name: string;
  readonly mtu?: number | undefined;
  /** The kernel chooses one when left out. */
  readonly mac?: string | undefined;
  readonly up?: boolean | undefined;
  /** Index of the bridge to become a port of. */
  readonly master?: number | undefined;
  /** Path of the namespace in which the link is made; the socket's own unless told. */
  readonly netns?: string | undefined;
  readonly txQueueLength?: number | undefined;
  /** A free text (ip link … alias), at most 255 bytes: a mark of whom the link belongs to. Set in a second step. */
  readonly alias?: string | undefined;
}

/** A veth's other end. It is made directly in `netns`. */
export interface VethPeer {
  readonly name: string;
  readonly netns?: string | undefined;
  readonly mac?: string | undefined;
  readonly mtu?: number | undefined;
  /** Brought up in a second step: the kernel refuses it (ENOTCONN) while the pair is being made. */
  readonly up?: boolean | undefined;
}

export interface VethSpec extends CommonLinkSpec {
  readonly kind: "veth";
  readonly peer: VethPeer;
}

export interface BridgeSpec extends CommonLinkSpec {
  readonly kind: "bridge";
  readonly vlanFiltering?: boolean | undefined;
  /** 0 for none; 1 unless told. */
  readonly vlanDefaultPvid?: number | undefined;
  readonly stp?: boolean | undefined;
  readonly multicastSnooping?: boolean | undefined;
}

export interface MacvlanSpec extends CommonLinkSpec {
  readonly kind: "macvlan";
  /** Index of the lower interface. */
  readonly parent: number;
  readonly mode?: "private" | "vepa" | "bridge" | "passthru" | undefined;
  /** How many broadcasts and multicasts may wait for it to take them; the kernel has 1000 unless told, and the most of all of a parent count. */
  readonly broadcastQueueLength?: number | undefined;
}

export interface IpvlanSpec extends CommonLinkSpec {
  readonly kind: "ipvlan";
  readonly parent: number;
  readonly mode?: "l2" | "l3" | "l3s" | undefined;
}

export interface VlanSpec extends CommonLinkSpec {
  readonly kind: "vlan";
  readonly parent: number;
  /** 1 to 4094. */
  readonly vlanId: number;
}

export interface VxlanSpec extends CommonLinkSpec {
  readonly kind: "vxlan";
  /** The 24-bit network identifier (VNI). */
  readonly id: number;
  /** UDP port; 4789 unless told. */
  readonly port?: number | undefined;
  /** The address that packets are sent from. */
  readonly local?: string | undefined;
  /** A remote address or multicast group. */
  readonly group?: string | undefined;
  /** Index of the lower interface. */
  readonly parent?: number | undefined;
  readonly learning?: boolean | undefined;
  readonly ttl?: number | undefined;
}

/** A routing domain: the interfaces whose master it is look up routes in its table. */
export interface VrfSpec extends CommonLinkSpec {
  readonly kind: "vrf";
  readonly table: number;
}

/** Kinds without options of their own. */
export interface PlainLinkSpec extends CommonLinkSpec {
  readonly kind: "ifb" | "dummy";
}

export type LinkSpec =
  | VethSpec
  | BridgeSpec
  | MacvlanSpec
  | IpvlanSpec
  | VlanSpec
  | VxlanSpec
  | VrfSpec
  | PlainLinkSpec;

const macvlanModes = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
const ipvlanModes = { l2: 0, l3: 1, l3s: 2 } as const;
const ETH_P_8021Q = 0x8100;
const VXLAN_PORT = 4789;

/** Makes an interface, but for its alias and that a veth's peer stays down; a name in use is "already-exists". */
export function linkAdd(socket: NetlinkSocket, spec: LinkSpec): void {
  using descriptors = new NamespaceDescriptors();
  socket.request({
    name: "RTM_NEWLINK",
    object: `${spec.kind} ${spec.name}`,
    type: RTM.NEWLINK,
    flags: NLM_F.CREATE | NLM_F.EXCL,
    body: encodeLinkAdd(spec, descriptors),
  });
}

/** The body of the request that makes an interface; `descriptors` opens the namespaces that it names. */
export function encodeLinkAdd(spec: LinkSpec, descriptors: Pick<NamespaceDescriptors, "open">): Buffer {
  const attributes = [
    ...commonAttributes(spec, descriptors),
    ...when(spec.master, (index) => u32(IFLA.MASTER, index)),
    ...when(spec.txQueueLength, (length) => u32(IFLA.TXQLEN, length)),
    ...when("parent" in spec ? spec.parent : undefined, (index) => u32(IFLA.LINK, index)),
    nested(IFLA.LINKINFO, [text(IFLA_INFO.KIND, spec.kind), ...infoData(spec, descriptors)]),
  ];
  return encodeLinkMessage({ ...upFlags(spec.up), attributes });
}

/** Open descriptors of namespaces for the time of one request. */
class NamespaceDescriptors implements Disposable {
  readonly #open: number[] = [];

  open(path: string): number {
    const descriptor = openSync(path, "r");
    this.#open.push(descriptor);
    return descriptor;
  }

  [Symbol.dispose](): void {
    for (const descriptor of this.#open) closeSync(descriptor);
  }
}

const upFlags = (up: boolean | undefined): { flags?: number; change?: number } =>
  up === undefined ? {} : { flags: up ? IFF.UP : 0, change: IFF.UP };

const commonAttributes = (
  spec: CommonLinkSpec | VethPeer,
  descriptors: Pick<NamespaceDescriptors, "open">,
): Attribute[] => [
  text(IFLA.IFNAME, checkLinkName(spec.name)),
  ...when(spec.mtu, (mtu) => u32(IFLA.MTU, mtu)),
  ...when(spec.mac, (mac) => bytes(IFLA.ADDRESS, parseMac(mac))),
  ...when(spec.netns, (path) => u32(IFLA.NET_NS_FD, descriptors.open(path))),
];

function infoData(spec: LinkSpec, descriptors: Pick<NamespaceDescriptors, "open">): Attribute[] {
  const data = kindData(spec, descriptors);
  return data.length === 0 ? [] : [nested(IFLA_INFO.DATA, data)];
}

function kindData(spec: LinkSpec, descriptors: Pick<NamespaceDescriptors, "open">): Attribute[] {
  switch (spec.kind) {
    case "veth": {
      const body = encodeLinkMessage({
        attributes: commonAttributes(spec.peer, descriptors),
      });
      return [{ type: VETH_INFO_PEER, value: body }];
    }
    case "bridge":
      return [
        ...when(spec.vlanFiltering, (on) => flag(IFLA_BR.VLAN_FILTERING, on)),
        ...when(spec.vlanDefaultPvid, (id) => u16(IFLA_BR.VLAN_DEFAULT_PVID, id)),
        ...when(spec.stp, (on) => u32(IFLA_BR.STP_STATE, on ? 1 : 0)),
        ...when(spec.multicastSnooping, (on) => flag(IFLA_BR.MCAST_SNOOPING, on)),
      ];
    case "macvlan":
      return [
        u32(IFLA_MACVLAN.MODE, macvlanModes[spec.mode ?? "bridge"]),
        ...when(spec.broadcastQueueLength, (length) => u32(IFLA_MACVLAN.BC_QUEUE_LEN, length)),
      ];
    case "ipvlan":
      return [u16(IFLA_IPVLAN_MODE, ipvlanModes[spec.mode ?? "l2"])];
    case "vlan":
      return [u16(IFLA_VLAN.ID, spec.vlanId), be16(IFLA_VLAN.PROTOCOL, ETH_P_8021Q)];
    case "vxlan":
      return [
        u32(IFLA_VXLAN.ID, spec.id),
        be16(IFLA_VXLAN.PORT, spec.port ?? VXLAN_PORT),
        flag(IFLA_VXLAN.LEARNING, spec.learning ?? true),
        ...when(spec.parent, (index) => u32(IFLA_VXLAN.LINK, index)),
        ...when(spec.ttl, (ttl) => u8(IFLA_VXLAN.TTL, ttl)),
        ...when(spec.local, (local) => vxlanAddress(local, IFLA_VXLAN.LOCAL, IFLA_VXLAN.LOCAL6)),
        ...when(spec.group, (group) => vxlanAddress(group, IFLA_VXLAN.GROUP, IFLA_VXLAN.GROUP6)),
      ];
    case "vrf":
      return [u32(IFLA_VRF_TABLE, spec.table)];
    case "ifb":
    case "dummy":
      return [];
  }
}

function vxlanAddress(address: string, type4: number, type6: number): Attribute {
  const parsed = parseAddress(address);
  return bytes(parsed.family === "ipv4" ? type4 : type6, parsed.bytes);
}
