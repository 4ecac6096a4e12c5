import { TripodError } from "@tripod/base";

export interface Page<T> {
  readonly entries: readonly T[];
  /** Empty after the last page. */
  readonly nextToken: string;
}

export interface PageRequest {
  /** 0: all. */
  readonly maxEntries: number;
  readonly startingToken: string;
}

const encode = (id: string): string => `from:${Buffer.from(id).toString("base64url")}`;

/** One page of entries that are sorted by id; a token that this did not give out is "aborted", as the specification says. */
export function pageOf<T>(
  all: readonly (readonly [id: string, entry: T])[],
  { maxEntries, startingToken }: PageRequest,
): Page<readonly [id: string, entry: T]> {
  let from = "";
  if (startingToken !== "") {
    from = Buffer.from(startingToken.slice("from:".length), "base64url").toString();
    if (encode(from) !== startingToken)
      throw new TripodError("aborted", `list: token ${JSON.stringify(startingToken)} is none of ours; start again`);
  }
  const rest = all.filter(([id]) => id >= from);
  const entries = maxEntries === 0 ? rest : rest.slice(0, maxEntries);
  const next = rest[entries.length]?.[0];
  return { entries, nextToken: next === undefined ? "" : encode(next) };
}
