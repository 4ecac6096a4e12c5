import { TripodError } from "@tripod/base";
import { AttributeMap, bytes, encodeAttributes, text, u32, when } from "./attribute.ts";
import { type Family, familyNumber, familyOf, formatAddress, parsePrefix } from "./ip-address.ts";
import { NLM_F } from "./message.ts";
import { FIB_RULE_INVERT, FRA, RTM } from "./rtnetlink-numbers.ts";
import type { NetlinkSocket } from "./socket.ts";

/** A policy rule: which packets look up which routing table (ip-rule(8)). */
export interface RuleSpec {
  /** Told by from or to when those are given. */
  readonly family?: Family | undefined;
  /** The lower, the earlier; the kernel chooses one when left out. */
  readonly priority?: number | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  /** Name of the interface that packets come in by. */
  readonly iif?: string | undefined;
  readonly oif?: string | undefined;
  readonly mark?: number | undefined;
  readonly mask?: number | undefined;
  readonly table: number;
  /** Everything that does not match. */
  readonly not?: boolean | undefined;
  /** Ignore routes whose prefix is this short or shorter. */
  readonly suppressPrefixLength?: number | undefined;
}

export interface Rule extends Omit<RuleSpec, "family" | "priority" | "not"> {
  readonly family: Family;
  readonly priority: number;
  readonly not: boolean;
}

const HEADER = 12;
const FR_ACT_TO_TBL = 1;

export type RuleAction = "add" | "delete";

export function changeRule(socket: NetlinkSocket, action: RuleAction, spec: RuleSpec): void {
  const from = spec.from === undefined ? undefined : parsePrefix(spec.from);
  const to = spec.to === undefined ? undefined : parsePrefix(spec.to);
  const family = spec.family ?? from?.family ?? to?.family ?? "ipv4";
  const header = Buffer.alloc(HEADER);
  header.writeUInt8(familyNumber(family), 0);
  header.writeUInt8(to?.prefixLength ?? 0, 1);
  header.writeUInt8(from?.prefixLength ?? 0, 2);
  header.writeUInt8(spec.table < 256 ? spec.table : 0, 4);
  header.writeUInt8(FR_ACT_TO_TBL, 7);
  header.writeUInt32LE(spec.not === true ? FIB_RULE_INVERT : 0, 8);
  const attributes = [
    u32(FRA.TABLE, spec.table),
    ...when(spec.priority, (priority) => u32(FRA.PRIORITY, priority)),
    ...when(from, ({ bytes: value }) => bytes(FRA.SRC, value)),
    ...when(to, ({ bytes: value }) => bytes(FRA.DST, value)),
    ...when(spec.iif, (name) => text(FRA.IIFNAME, name)),
    ...when(spec.oif, (name) => text(FRA.OIFNAME, name)),
    ...when(spec.mark, (mark) => u32(FRA.FWMARK, mark)),
    ...when(spec.mask, (mask) => u32(FRA.FWMASK, mask)),
    ...when(spec.suppressPrefixLength, (length) => u32(FRA.SUPPRESS_PREFIXLEN, length)),
  ];
  const add = action === "add";
  socket.request({
    name: add ? "RTM_NEWRULE" : "RTM_DELRULE",
    object: `from ${spec.from ?? "all"} to ${spec.to ?? "all"} table ${spec.table}`,
    type: add ? RTM.NEWRULE : RTM.DELRULE,
    flags: add ? NLM_F.CREATE | NLM_F.EXCL : 0,
    body: Buffer.concat([header, encodeAttributes(attributes)]),
  });
}

/** The rules, of both families unless told, by priority. */
export function rules(socket: NetlinkSocket, filter: { readonly family?: Family | undefined } = {}): Rule[] {
  const header = Buffer.alloc(HEADER);
  header.writeUInt8(familyNumber(filter.family), 0);
  const found: Rule[] = [];
  for (const { body } of socket.request({
    name: "RTM_GETRULE",
    object: "rules",
    type: RTM.GETRULE,
    flags: NLM_F.DUMP,
    body: header,
  })) {
    const rule = decodeRule(body);
    if (rule !== undefined) found.push(rule);
  }
  return found;
}

function decodeRule(body: Buffer): Rule | undefined {
  if (body.length < HEADER) throw new TripodError("corrupt", `RTM_NEWRULE: a body of ${body.length} bytes`);
  const family = familyOf(body.readUInt8(0));
  if (family === undefined) return undefined;
  const attributes = new AttributeMap(body.subarray(HEADER));
  const prefix = (type: number, lengthAt: number): string | undefined => {
    const value = attributes.bytes(type);
    return value === undefined ? undefined : `${formatAddress(value)}/${body.readUInt8(lengthAt)}`;
  };
  const suppress = attributes.u32(FRA.SUPPRESS_PREFIXLEN);
  return {
    family,
    priority: attributes.u32(FRA.PRIORITY) ?? 0,
    from: prefix(FRA.SRC, 2),
    to: prefix(FRA.DST, 1),
    iif: attributes.text(FRA.IIFNAME),
    oif: attributes.text(FRA.OIFNAME),
    mark: attributes.u32(FRA.FWMARK),
    mask: attributes.u32(FRA.FWMASK),
    table: attributes.u32(FRA.TABLE) ?? body.readUInt8(4),
    not: (body.readUInt32LE(8) & FIB_RULE_INVERT) !== 0,
    suppressPrefixLength: suppress === 0xffffffff ? undefined : suppress,
  };
}
