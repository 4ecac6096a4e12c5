/** Choices that follow from a number alone, so that a random test can be repeated. */
export interface SeededRandom {
  /** In [0, 1). */
  next(): number;
  /** A whole number in [0, end). */
  below(end: number): number;
  /** One of the items, of which there must be some. */
  pick<T>(items: readonly T[]): T;
}

/** A 32-bit xorshift. */
export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0 || 1; // it would stay at 0
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  const below = (end: number): number => Math.floor(next() * end);
  return {
    next,
    below,
    pick(items) {
      if (items.length === 0) throw new RangeError("pick: there is nothing to pick from");
      return items[below(items.length)] as (typeof items)[number]; // below() stays in the bounds
    },
  };
}
