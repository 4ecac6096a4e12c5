import { createHash } from "node:crypto";

/**
 * The places in the order in which a claim prefers them: claims begin at different ones, and those of a StatefulSet, whose names end in a number, one
 * after the other. The same for the same claim and places.
 */
export function spread<T>(claimName: string, places: readonly T[]): T[] {
  const [, base = claimName, number = "0"] = /^(.+)-(\d{1,9})$/.exec(claimName) ?? [];
  const hash = createHash("sha256").update(base).digest().readUInt32BE();
  const first = places.length === 0 ? 0 : (hash + Number(number)) % places.length;
  return [...places.slice(first), ...places.slice(0, first)];
}
