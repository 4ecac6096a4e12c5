import { TripodError } from "@tripod/base";
import { AttributeMap } from "./attribute.ts";
import { type BridgePort, decodeBridgePort } from "./bridge-port.ts";
import { formatAddress } from "./ip-address.ts";
import { formatMac } from "./mac-address.ts";
import {
  IFF,
  IFLA,
  IFLA_BR,
  IFLA_INFO,
  IFLA_IPVLAN_MODE,
  IFLA_MACVLAN,
  IFLA_TUN,
  IFLA_VLAN,
  IFLA_VRF_TABLE,
  IFLA_VXLAN,
} from "./rtnetlink-numbers.ts";

/** RFC 2863's states, by number. */
const operStates = ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"] as const;
export type OperState = (typeof operStates)[number];

export interface LinkStatistics {
  readonly rxPackets: bigint;
  readonly txPackets: bigint;
  readonly rxBytes: bigint;
  readonly txBytes: bigint;
  readonly rxErrors: bigint;
  readonly txErrors: bigint;
  readonly rxDropped: bigint;
  readonly txDropped: bigint;
}

/** A network interface. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** "veth", "bridge", …; undefined for `lo` and hardware. */
  readonly kind: string | undefined;
  /** Administratively up. */
  readonly up: boolean;
  /** The carrier is there and the interface is up. */
  readonly running: boolean;
  readonly loopback: boolean;
  readonly promiscuous: boolean;
  readonly allMulticast: boolean;
  readonly operState: OperState;
  readonly mtu: number;
  /** "" where the link layer has none. */
  readonly mac: string;
  readonly alias: string | undefined;
  /** Index of the bridge that it is a port of, or of the VRF that it is in. */
  readonly master: number | undefined;
  /** Index of a veth's other end, or of the lower interface, in the namespace that peerNetnsId says. */
  readonly parent: number | undefined;
  /** The namespace's id of that one; undefined when it is this namespace. */
  readonly peerNetnsId: number | undefined;
  readonly txQueueLength: number;
  /** Of a bridge. */
  readonly bridge:
    | { readonly vlanFiltering: boolean; readonly stp: boolean; readonly vlanDefaultPvid: number }
    | undefined;
  /** Of a bridge's port. */
  readonly port: BridgePort | undefined;
  readonly vxlan:
    | { readonly id: number; readonly port: number; readonly local: string | undefined; readonly learning: boolean }
    | undefined;
  readonly vlanId: number | undefined;
  /** The routing table of a VRF. */
  readonly vrfTable: number | undefined;
  /** The kernel's number of the mode of a macvlan (1 private, 2 vepa, 4 bridge, 8 passthru) or ipvlan (0 l2, 1 l3, 2 l3s). */
  readonly mode: number | undefined;
  /** Of a macvlan: how many broadcasts and multicasts may wait for it to take them. */
  readonly broadcastQueueLength: number | undefined;
  /** Of a TUN or TAP device. */
  readonly tun:
    | {
        readonly owner: number | undefined;
        readonly group: number | undefined;
        readonly multiQueue: boolean;
        readonly persistent: boolean;
      }
    | undefined;
  readonly statistics: LinkStatistics | undefined;
}

const HEADER = 16;

/** Decodes the body of an RTM_NEWLINK. */
export function decodeLink(body: Buffer): Link {
  if (body.length < HEADER) throw new TripodError("corrupt", `RTM_NEWLINK: a body of ${body.length} bytes`);
  const flags = body.readUInt32LE(8);
  const attributes = new AttributeMap(body.subarray(HEADER));
  const info = attributes.nested(IFLA.LINKINFO);
  const kind = info?.text(IFLA_INFO.KIND);
  const data = info?.nested(IFLA_INFO.DATA);
  const slaveData = info?.text(IFLA_INFO.SLAVE_KIND) === "bridge" ? info.nested(IFLA_INFO.SLAVE_DATA) : undefined;
  const statistics = attributes.bytes(IFLA.STATS64);
  return {
    index: body.readInt32LE(4),
    name: attributes.text(IFLA.IFNAME) ?? "",
    kind,
    up: (flags & IFF.UP) !== 0,
    running: (flags & IFF.RUNNING) !== 0,
    loopback: (flags & IFF.LOOPBACK) !== 0,
    promiscuous: (flags & IFF.PROMISC) !== 0,
    allMulticast: (flags & IFF.ALLMULTI) !== 0,
    operState: operStates[attributes.u8(IFLA.OPERSTATE) ?? 0] ?? "unknown",
    mtu: attributes.u32(IFLA.MTU) ?? 0,
    mac: formatMac(attributes.bytes(IFLA.ADDRESS) ?? Buffer.alloc(0)),
    alias: attributes.text(IFLA.IFALIAS),
    master: attributes.u32(IFLA.MASTER),
    parent: attributes.u32(IFLA.LINK),
    peerNetnsId: attributes.u32(IFLA.LINK_NETNSID),
    txQueueLength: attributes.u32(IFLA.TXQLEN) ?? 0,
    bridge:
      kind === "bridge" && data !== undefined
        ? {
            vlanFiltering: data.flag(IFLA_BR.VLAN_FILTERING) ?? false,
            stp: (data.u32(IFLA_BR.STP_STATE) ?? 0) !== 0,
            vlanDefaultPvid: data.u16(IFLA_BR.VLAN_DEFAULT_PVID) ?? 0,
          }
        : undefined,
    port: slaveData === undefined ? undefined : decodeBridgePort(slaveData),
    vxlan: kind === "vxlan" && data !== undefined ? decodeVxlan(data) : undefined,
    vlanId: kind === "vlan" ? data?.u16(IFLA_VLAN.ID) : undefined,
    vrfTable: kind === "vrf" ? data?.u32(IFLA_VRF_TABLE) : undefined,
    mode:
      kind === "macvlan" ? data?.u32(IFLA_MACVLAN.MODE) : kind === "ipvlan" ? data?.u16(IFLA_IPVLAN_MODE) : undefined,
    broadcastQueueLength: kind === "macvlan" ? data?.u32(IFLA_MACVLAN.BC_QUEUE_LEN) : undefined,
    tun: kind === "tun" && data !== undefined ? decodeTun(data) : undefined,
    statistics: statistics === undefined ? undefined : decodeStatistics(statistics),
  };
}

function decodeTun(data: AttributeMap): NonNullable<Link["tun"]> {
  return {
    owner: data.u32(IFLA_TUN.OWNER),
    group: data.u32(IFLA_TUN.GROUP),
    multiQueue: data.flag(IFLA_TUN.MULTI_QUEUE) ?? false,
    persistent: data.flag(IFLA_TUN.PERSIST) ?? false,
  };
}

function decodeVxlan(data: AttributeMap): NonNullable<Link["vxlan"]> {
  const local = data.bytes(IFLA_VXLAN.LOCAL) ?? data.bytes(IFLA_VXLAN.LOCAL6);
  return {
    id: data.u32(IFLA_VXLAN.ID) ?? 0,
    port: data.be16(IFLA_VXLAN.PORT) ?? 0,
    local: local === undefined ? undefined : formatAddress(local),
    learning: data.flag(IFLA_VXLAN.LEARNING) ?? false,
  };
}

/** struct rtnl_link_stats64 starts with these eight counters. */
function decodeStatistics(bytes: Buffer): LinkStatistics {
  if (bytes.length < 64) throw new TripodError("corrupt", `RTM_NEWLINK: statistics of ${bytes.length} bytes`);
  const counter = (position: number): bigint => bytes.readBigUInt64LE(position * 8);
  return {
    rxPackets: counter(0),
    txPackets: counter(1),
    rxBytes: counter(2),
    txBytes: counter(3),
    rxErrors: counter(4),
    txErrors: counter(5),
    rxDropped: counter(6),
    txDropped: counter(7),
  };
}
