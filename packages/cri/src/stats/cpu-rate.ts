interface Sample {
  readonly atNs: bigint;
  readonly usageNs: bigint;
}

/** Turns growing counters into rates: what was used between this look and the one before, per key. */
export class CpuRates {
  readonly #last = new Map<string, Sample>();

  /** Nano-cores since the last call with this key; undefined at the first one, and when too little time has passed to tell. */
  next(key: string, sample: Sample): bigint | undefined {
    const last = this.#last.get(key);
    const elapsedNs = last === undefined ? 0n : sample.atNs - last.atNs;
    if (last !== undefined && elapsedNs < 10_000_000n) return undefined;
    this.#last.set(key, sample);
    if (last === undefined || sample.usageNs < last.usageNs) return undefined;
    return ((sample.usageNs - last.usageNs) * 1_000_000_000n) / elapsedNs;
  }

  /** Forgets all keys that `keep` does not want. */
  prune(keep: (key: string) => boolean): void {
    for (const key of this.#last.keys()) if (!keep(key)) this.#last.delete(key);
  }
}
