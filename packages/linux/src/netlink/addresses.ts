import { TripodError } from "@tripod/base";
import { AttributeMap, bytes, encodeAttributes, text, u32, when } from "./attribute.ts";
import { type Family, familyNumber, familyOf, formatAddress, parseAddress, parsePrefix } from "./ip-address.ts";
import { NLM_F } from "./message.ts";
import { IFA, IFA_F, RTM } from "./rtnetlink-numbers.ts";
import { type RouteScope, scopeName, scopeNumber } from "./scope.ts";
import type { NetlinkSocket } from "./socket.ts";

/** An address of an interface. */
export interface Address {
  readonly index: number;
  readonly family: Family;
  /** "10.1.2.3/24". */
  readonly address: string;
  /** The other end of a point-to-point link, where it differs. */
  readonly peer: string | undefined;
  readonly broadcast: string | undefined;
  readonly label: string | undefined;
  readonly scope: RouteScope;
  /** Duplicate address detection still runs, so it cannot be used yet. */
  readonly tentative: boolean;
  readonly dadFailed: boolean;
  readonly permanent: boolean;
}

export interface AddressSpec {
  readonly index: number;
  /** "10.1.2.3/24", "fe80::1/64". */
  readonly address: string;
  readonly broadcast?: string | undefined;
  readonly scope?: RouteScope | undefined;
  readonly label?: string | undefined;
  /** IPv6: usable at once, without duplicate address detection (which takes 1-2 s). */
  readonly noDad?: boolean | undefined;
  /** Do not add the route to the prefix. */
  readonly noPrefixRoute?: boolean | undefined;
}

export interface AddressFilter {
  readonly family?: Family | undefined;
  readonly index?: number | undefined;
}

const HEADER = 8;

export type AddressAction = "add" | "replace" | "delete";

const actions = {
  add: { name: "RTM_NEWADDR", type: RTM.NEWADDR, flags: NLM_F.CREATE | NLM_F.EXCL },
  replace: { name: "RTM_NEWADDR", type: RTM.NEWADDR, flags: NLM_F.CREATE | NLM_F.REPLACE },
  delete: { name: "RTM_DELADDR", type: RTM.DELADDR, flags: 0 },
} as const;

export function changeAddress(socket: NetlinkSocket, action: AddressAction, spec: AddressSpec): void {
  const { family, bytes: address, prefixLength } = parsePrefix(spec.address);
  const header = Buffer.alloc(HEADER);
  header.writeUInt8(familyNumber(family), 0);
  header.writeUInt8(prefixLength, 1);
  header.writeUInt8(scopeNumber(spec.scope ?? "global"), 3);
  header.writeUInt32LE(spec.index, 4);
  const flags = (spec.noDad === true ? IFA_F.NODAD : 0) | (spec.noPrefixRoute === true ? IFA_F.NOPREFIXROUTE : 0);
  const attributes = [
    bytes(IFA.LOCAL, address),
    bytes(IFA.ADDRESS, address),
    ...when(spec.broadcast, (broadcast) => bytes(IFA.BROADCAST, parseAddress(broadcast).bytes)),
    ...when(spec.label, (label) => text(IFA.LABEL, label)),
    ...when(flags === 0 ? undefined : flags, (value) => u32(IFA.FLAGS, value)),
  ];
  const { name, type, flags: requestFlags } = actions[action];
  const body = Buffer.concat([header, encodeAttributes(attributes)]);
  socket.request({ name, object: `${spec.address} on link ${spec.index}`, type, flags: requestFlags, body });
}

/** The addresses in the socket's namespace. */
export function addresses(socket: NetlinkSocket, filter: AddressFilter = {}): Address[] {
  const header = Buffer.alloc(HEADER);
  header.writeUInt8(familyNumber(filter.family), 0);
  header.writeUInt32LE(filter.index ?? 0, 4);
  const found: Address[] = [];
  for (const { body } of socket.request({
    name: "RTM_GETADDR",
    object: "addresses",
    type: RTM.GETADDR,
    flags: NLM_F.DUMP,
    body: header,
  })) {
    const address = decodeAddress(body);
    // Kernels without strict checking ignore the index.
    if (address !== undefined && (filter.index === undefined || filter.index === address.index)) found.push(address);
  }
  return found;
}

function decodeAddress(body: Buffer): Address | undefined {
  if (body.length < HEADER) throw new TripodError("corrupt", `RTM_NEWADDR: a body of ${body.length} bytes`);
  const family = familyOf(body.readUInt8(0));
  if (family === undefined) return undefined;
  const attributes = new AttributeMap(body.subarray(HEADER));
  const remote = attributes.bytes(IFA.ADDRESS);
  const local = attributes.bytes(IFA.LOCAL) ?? remote;
  if (local === undefined) throw new TripodError("corrupt", "RTM_NEWADDR: no address in it");
  const broadcast = attributes.bytes(IFA.BROADCAST);
  const flags = attributes.u32(IFA.FLAGS) ?? body.readUInt8(2);
  return {
    index: body.readUInt32LE(4),
    family,
    address: `${formatAddress(local)}/${body.readUInt8(1)}`,
    peer: remote === undefined || remote.equals(local) ? undefined : formatAddress(remote),
    broadcast: broadcast === undefined ? undefined : formatAddress(broadcast),
    label: attributes.text(IFA.LABEL),
    scope: scopeName(body.readUInt8(3)),
    tentative: (flags & IFA_F.TENTATIVE) !== 0,
    dadFailed: (flags & IFA_F.DADFAILED) !== 0,
    permanent: (flags & IFA_F.PERMANENT) !== 0,
  };
}
