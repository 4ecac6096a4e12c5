import { TripodError } from "@tripod/base";
import { type Attribute, AttributeMap, bytes, encodeAttributes, nested, text, u32 } from "./attribute.ts";
import { NLM_F } from "./message.ts";
import { RTM, TC_H, TCA, TCA_MIRRED_PARMS, TCA_TBF, TCA_U32 } from "./rtnetlink-numbers.ts";
import type { NetlinkRequest, NetlinkSocket } from "./socket.ts";

/** A token bucket filter's settings (tc-tbf(8)). */
export interface TokenBucket {
  /** Bytes a second. */
  readonly rate: number;
  /** How many bytes may wait; what comes beyond is dropped. */
  readonly limit: number;
  /** How long the bucket takes to fill, in the kernel's ticks of 64 ns: the burst. */
  readonly bufferTicks: number;
}

/** A queueing discipline of an interface. */
export interface Qdisc {
  readonly index: number;
  /** "noqueue", "tbf", "ingress", … */
  readonly kind: string;
  readonly root: boolean;
  /** Of a tbf. */
  readonly tokenBucket: TokenBucket | undefined;
}

const HEADER = 20;
const TICK_NS = 64;
const ETH_P_ALL_BE = 0x0300;
const TC_ACT_STOLEN = 4;
const TCA_EGRESS_REDIR = 1;
const TC_U32_TERMINAL = 1;
const PRIORITY = 1;

/** struct tcmsg and its attributes. */
function encode(
  index: number,
  { handle = 0, parent = 0, info = 0 }: { readonly handle?: number; readonly parent?: number; readonly info?: number },
  attributes: readonly Attribute[],
): Buffer {
  const header = Buffer.alloc(HEADER);
  header.writeInt32LE(index, 4);
  header.writeUInt32LE(handle, 8);
  header.writeUInt32LE(parent, 12);
  header.writeUInt32LE(info, 16);
  return Buffer.concat([header, encodeAttributes(attributes)]);
}

/**
 * A bucket for `rate` bytes a second and bursts of `burst` bytes, in which packets wait for up to `latencyMs`. Computed as upstream's CNI
 * plugin does, to the last tick.
 */
export function tokenBucket(rate: number, { burst, latencyMs }: { burst: number; latencyMs: number }): TokenBucket {
  const most = 0xffffffff;
  const fillUs = Math.min(most, Math.floor((burst * 1e6) / rate));
  return {
    rate,
    limit: Math.min(most, Math.floor(rate * (latencyMs / 1000)) + burst),
    bufferTicks: Math.min(most, Math.floor((fillUs * 1000) / TICK_NS)),
  };
}

/** Puts a tbf at the root of an interface, in place of a tbf that is there. */
export function setTokenBucket(index: number, { rate, limit, bufferTicks }: TokenBucket): NetlinkRequest {
  // struct tc_tbf_qopt: two tc_ratespec (rate and peak) with the rate at byte 8 of each, then limit, buffer, mtu.
  const options = Buffer.alloc(36);
  const wide = rate > 0xffffffff;
  options.writeUInt32LE(wide ? 0xffffffff : rate, 8);
  options.writeUInt32LE(limit, 24);
  options.writeUInt32LE(bufferTicks, 28);
  const rate64 = Buffer.alloc(8);
  rate64.writeBigUInt64LE(BigInt(rate));
  return {
    name: "RTM_NEWQDISC",
    object: `tbf on link ${index}`,
    type: RTM.NEWQDISC,
    flags: NLM_F.CREATE | NLM_F.REPLACE,
    body: encode(index, { handle: 0x10000, parent: TC_H.ROOT }, [
      text(TCA.KIND, "tbf"),
      nested(TCA.OPTIONS, [bytes(TCA_TBF.PARMS, options), ...(wide ? [bytes(TCA_TBF.RATE64, rate64)] : [])]),
    ]),
  };
}

/** Lets an interface have filters for what comes in. */
export const addIngress = (index: number): NetlinkRequest => ({
  name: "RTM_NEWQDISC",
  object: `ingress on link ${index}`,
  type: RTM.NEWQDISC,
  flags: NLM_F.CREATE | NLM_F.REPLACE,
  body: encode(index, { handle: 0xffff0000, parent: TC_H.INGRESS }, [text(TCA.KIND, "ingress")]),
});

/** Sends everything that comes in by the interface `index`, which has an ingress, out by `to` instead: an ifb gives it back after queueing. */
export function redirectIngress(index: number, to: number): NetlinkRequest {
  const mirred = Buffer.alloc(28); // struct tc_mirred
  mirred.writeInt32LE(TC_ACT_STOLEN, 8);
  mirred.writeInt32LE(TCA_EGRESS_REDIR, 20);
  mirred.writeUInt32LE(to, 24);
  const selector = Buffer.alloc(32); // struct tc_u32_sel with one key, whose mask of 0 matches everything
  selector.writeUInt8(TC_U32_TERMINAL, 0);
  selector.writeUInt8(1, 2);
  const action = nested(1, [text(TCA.KIND, "mirred"), nested(TCA.OPTIONS, [bytes(TCA_MIRRED_PARMS, mirred)])]);
  return {
    name: "RTM_NEWTFILTER",
    object: `redirect of link ${index}`,
    type: RTM.NEWTFILTER,
    flags: NLM_F.CREATE,
    body: encode(index, { parent: 0xffff0000, info: ((PRIORITY << 16) | ETH_P_ALL_BE) >>> 0 }, [
      text(TCA.KIND, "u32"),
      nested(TCA.OPTIONS, [u32(TCA_U32.CLASSID, 0x10001), bytes(TCA_U32.SEL, selector), nested(TCA_U32.ACT, [action])]),
    ]),
  };
}

/** Takes the qdisc at the root, or the ingress with its filters, away; ENOENT or EINVAL when there is none. */
export const deleteQdisc = (index: number, which: "root" | "ingress"): NetlinkRequest => ({
  name: "RTM_DELQDISC",
  object: `${which} of link ${index}`,
  type: RTM.DELQDISC,
  body: encode(index, which === "root" ? { parent: TC_H.ROOT } : { handle: 0xffff0000, parent: TC_H.INGRESS }, []),
});

/** The qdiscs of an interface. */
export function qdiscs(socket: NetlinkSocket, index: number): Qdisc[] {
  const replies = socket.request({
    name: "RTM_GETQDISC",
    object: `link ${index}`,
    type: RTM.GETQDISC,
    flags: NLM_F.DUMP,
    body: encode(0, {}, []),
  });
  return replies.map(({ body }) => decodeQdisc(body)).filter((qdisc) => qdisc.index === index);
}

function decodeQdisc(body: Buffer): Qdisc {
  if (body.length < HEADER) throw new TripodError("corrupt", `RTM_NEWQDISC: a body of ${body.length} bytes`);
  const attributes = new AttributeMap(body.subarray(HEADER));
  const kind = attributes.text(TCA.KIND) ?? "";
  return {
    index: body.readInt32LE(4),
    kind,
    root: body.readUInt32LE(12) === TC_H.ROOT,
    tokenBucket: kind === "tbf" ? decodeTokenBucket(attributes.nested(TCA.OPTIONS)) : undefined,
  };
}

function decodeTokenBucket(options: AttributeMap | undefined): TokenBucket | undefined {
  const parms = options?.bytes(TCA_TBF.PARMS);
  if (parms === undefined || parms.length < 36) return undefined;
  const rate64 = options?.bytes(TCA_TBF.RATE64);
  return {
    rate: rate64 !== undefined && rate64.length === 8 ? Number(rate64.readBigUInt64LE()) : parms.readUInt32LE(8),
    limit: parms.readUInt32LE(24),
    bufferTicks: parms.readUInt32LE(28),
  };
}
