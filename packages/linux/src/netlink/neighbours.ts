import { TripodError } from "@tripod/base";
import { AttributeMap, be16, bytes, encodeAttributes, u32, when } from "./attribute.ts";
import { AF, familyNumber, formatAddress, parseAddress } from "./ip-address.ts";
import { formatMac, parseMac } from "./mac-address.ts";
import { NLM_F } from "./message.ts";
import { NDA, NTF, RTM } from "./rtnetlink-numbers.ts";
import type { NetlinkSocket } from "./socket.ts";

/** NUD_* bits, by name. */
const states = {
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: 0x80,
} as const;
export type NeighbourState = keyof typeof states | "none";

/** An entry of the ARP/ND table ("neighbour"), or of a bridge's or VXLAN device's forwarding table ("fdb"). */
export interface Neighbour {
  readonly table: "neighbour" | "fdb";
  readonly index: number;
  /** The IP address: a neighbour's own, or in an fdb the remote VXLAN endpoint. */
  readonly address: string | undefined;
  readonly mac: string | undefined;
  readonly state: NeighbourState;
  readonly proxy: boolean;
  /** Index of the bridge that a port's fdb entry belongs to. */
  readonly master: number | undefined;
}

export interface NeighbourSpec {
  /** "neighbour" unless told. */
  readonly table?: "neighbour" | "fdb" | undefined;
  readonly index: number;
  readonly address?: string | undefined;
  readonly mac?: string | undefined;
  /** "permanent" unless told. */
  readonly state?: Exclude<NeighbourState, "none"> | undefined;
  /** Answer for this address (proxy ARP/ND); no MAC then. */
  readonly proxy?: boolean | undefined;
  /** fdb of a bridge's port: in the bridge's table instead of the device's own. */
  readonly inMaster?: boolean | undefined;
  /** fdb of VXLAN: another UDP port than the device's. */
  readonly port?: number | undefined;
}

const HEADER = 12;

export type NeighbourAction = "add" | "append" | "replace" | "delete";

const actions = {
  add: { name: "RTM_NEWNEIGH", type: RTM.NEWNEIGH, flags: NLM_F.CREATE | NLM_F.EXCL },
  append: { name: "RTM_NEWNEIGH", type: RTM.NEWNEIGH, flags: NLM_F.CREATE | NLM_F.APPEND },
  replace: { name: "RTM_NEWNEIGH", type: RTM.NEWNEIGH, flags: NLM_F.CREATE | NLM_F.REPLACE },
  delete: { name: "RTM_DELNEIGH", type: RTM.DELNEIGH, flags: 0 },
} as const;

export function changeNeighbour(socket: NetlinkSocket, action: NeighbourAction, spec: NeighbourSpec): void {
  const fdb = spec.table === "fdb";
  const address = spec.address === undefined ? undefined : parseAddress(spec.address);
  if (!fdb && address === undefined) {
    throw new TripodError("invalid", `neighbour on link ${spec.index}: an address is needed`);
  }
  const header = Buffer.alloc(HEADER);
  header.writeUInt8(fdb ? AF.BRIDGE : familyNumber(address?.family), 0);
  header.writeInt32LE(spec.index, 4);
  header.writeUInt16LE(states[spec.state ?? "permanent"], 8);
  const where = fdb ? (spec.inMaster === true ? NTF.MASTER : NTF.SELF) : 0;
  header.writeUInt8(where | (spec.proxy === true ? NTF.PROXY : 0), 10);
  const attributes = [
    ...when(address, ({ bytes: value }) => bytes(NDA.DST, value)),
    ...when(spec.mac, (mac) => bytes(NDA.LLADDR, parseMac(mac))),
    ...when(spec.port, (port) => be16(NDA.PORT, port)),
  ];
  const { name, type, flags } = actions[action];
  const object = `${spec.address ?? ""} ${spec.mac ?? ""} on link ${spec.index}`.trim();
  socket.request({ name, object, type, flags, body: Buffer.concat([header, encodeAttributes(attributes)]) });
}

export interface NeighbourFilter {
  readonly table?: "neighbour" | "fdb" | undefined;
  readonly index?: number | undefined;
  /** The proxy entries instead of the others. */
  readonly proxy?: boolean | undefined;
}

export function neighbours(socket: NetlinkSocket, filter: NeighbourFilter = {}): Neighbour[] {
  const fdb = filter.table === "fdb";
  const header = Buffer.alloc(HEADER);
  header.writeUInt8(fdb ? AF.BRIDGE : AF.UNSPEC, 0);
  if (filter.proxy === true) header.writeUInt8(NTF.PROXY, 10);
  // With strict checking the header's index filters an fdb, the attribute filters the others.
  if (fdb) header.writeInt32LE(filter.index ?? 0, 4);
  const byIndex = fdb || filter.index === undefined ? [] : [u32(NDA.IFINDEX, filter.index)];
  const found: Neighbour[] = [];
  for (const { body } of socket.request({
    name: "RTM_GETNEIGH",
    object: fdb ? "forwarding entries" : "neighbours",
    type: RTM.GETNEIGH,
    flags: NLM_F.DUMP,
    body: Buffer.concat([header, encodeAttributes(byIndex)]),
  })) {
    const neighbour = decodeNeighbour(body);
    if (filter.index === undefined || neighbour.index === filter.index) found.push(neighbour);
  }
  return found;
}

function decodeNeighbour(body: Buffer): Neighbour {
  if (body.length < HEADER) throw new TripodError("corrupt", `RTM_NEWNEIGH: a body of ${body.length} bytes`);
  const attributes = new AttributeMap(body.subarray(HEADER));
  const address = attributes.bytes(NDA.DST);
  const mac = attributes.bytes(NDA.LLADDR);
  const stateBits = body.readUInt16LE(8);
  // Object.entries loses the key type that the table above has.
  const names = Object.entries(states) as [keyof typeof states, number][];
  return {
    table: body.readUInt8(0) === AF.BRIDGE ? "fdb" : "neighbour",
    index: body.readInt32LE(4),
    address: address === undefined ? undefined : formatAddress(address),
    mac: mac === undefined ? undefined : formatMac(mac),
    state: names.find(([, bit]) => (stateBits & bit) !== 0)?.[0] ?? "none",
    proxy: (body.readUInt8(10) & NTF.PROXY) !== 0,
    master: attributes.u32(NDA.MASTER),
  };
}
