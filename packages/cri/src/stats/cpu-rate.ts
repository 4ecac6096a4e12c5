interface Sample {
  readonly atNs: bigint;
  readonly usageNs: bigint;
}

/** The shortest time whose mean says something: many ask, often at once, and none of them may spoil the others' answer. */
const cpuRateWindowNs = 1_000_000_000n;

/** Turns growing counters into rates: what was used over the last window, or longer where nobody asked meanwhile, per key. */
export class CpuRates {
  readonly #last = new Map<string, { readonly sample: Sample; readonly rate: bigint | undefined }>();

  /** Nano-cores; undefined until the first window has passed. */
  next(key: string, sample: Sample): bigint | undefined {
    const last = this.#last.get(key);
    if (last === undefined || sample.usageNs < last.sample.usageNs) {
      this.#last.set(key, { sample, rate: undefined });
      return undefined;
    }
    const elapsedNs = sample.atNs - last.sample.atNs;
    if (elapsedNs < cpuRateWindowNs) return last.rate;
    const rate = ((sample.usageNs - last.sample.usageNs) * 1_000_000_000n) / elapsedNs;
    this.#last.set(key, { sample, rate });
    return rate;
  }

  /** Forgets all keys that `keep` does not want. */
  prune(keep: (key: string) => boolean): void {
    for (const key of this.#last.keys()) if (!keep(key)) this.#last.delete(key);
  }
}
