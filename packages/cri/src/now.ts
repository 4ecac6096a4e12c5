/** Nanoseconds since 1970, as CRI counts; the clock gives microseconds. */
export const nowNs = (): bigint => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
