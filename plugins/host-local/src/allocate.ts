import { formatIp, type Ip, sameIp } from "@tripod/cni/sdk";
import { TripodError } from "@tripod/base";
import { type AddressRange, candidates, describeRange, inRange, type RangeSet, sizeOf } from "./address-range.ts";

/** What allocation needs to know of the reservations. */
export interface Reservations {
  isTaken(ip: string): boolean;
  /** Every address that is reserved; asked for only after many a miss. */
  taken(): Promise<ReadonlySet<string>>;
  /** False when somebody was quicker. */
  reserve(ip: string): boolean;
}

export interface Allocated {
  readonly ip: Ip;
  readonly range: AddressRange;
}

/** So many addresses are tried one by one before all reservations are listed at once. */
const singleTries = 64;

/** Reserves the next free address of the set after `last`, round robin, so that an address just given back rests for long. */
export async function allocateNext(set: RangeSet, last: Ip | undefined, store: Reservations): Promise<Allocated> {
  let tries = 0;
  let taken: ReadonlySet<string> | undefined;
  for (const candidate of candidates(set, last)) {
    const ip = formatIp(candidate.ip);
    tries += 1;
    if (taken === undefined && tries > singleTries) taken = await store.taken();
    if (taken === undefined ? store.isTaken(ip) : taken.has(ip)) continue;
    if (store.reserve(ip)) return candidate;
  }
  const size = set.reduce((sum, range) => sum + sizeOf(range), 0n);
  throw new TripodError(
    "exhausted",
    `no free address in ${set.map(describeRange).join(", ")}: all ${size} are reserved; remove containers, collect garbage (tripod cni gc) or configure a larger range`,
    { detail: { ranges: set.map(describeRange) } },
  );
}

/** Reserves the very address that the caller wants. */
export function allocateWanted(set: RangeSet, ip: Ip, store: Reservations): Allocated {
  const text = formatIp(ip);
  const range = set.find((candidate) => inRange(candidate, ip));
  if (range === undefined) throw new TripodError("invalid", `requested address ${text} is in no range`);
  if (sameIp(ip, range.gateway))
    throw new TripodError("invalid", `requested address ${text} is the gateway of its subnet`);
  if (!store.reserve(text))
    throw new TripodError("already-exists", `requested address ${text} is reserved for another container`);
  return { ip, range };
}
