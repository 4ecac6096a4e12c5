/** Counts consecutive outcomes of a probe against its thresholds. */
export class ProbeVerdict {
  readonly #thresholds: { readonly success: number; readonly failure: number };
  #last: boolean | undefined;
  #run = 0;

  constructor(thresholds: { readonly success: number; readonly failure: number }) {
    this.#thresholds = thresholds;
  }

  /** Takes one outcome; returns the new verdict when enough of a kind came in a row, undefined while it is open. */
  observe(ok: boolean): boolean | undefined {
    this.#run = ok === this.#last ? this.#run + 1 : 1;
    this.#last = ok;
    return this.#run >= (ok ? this.#thresholds.success : this.#thresholds.failure) ? ok : undefined;
  }
}
