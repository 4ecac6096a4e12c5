export interface BackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
  /** 2 unless told. */
  readonly factor?: number;
}

/** Delays that grow from `initialMs` to `maxMs`; reset() starts again. */
export class Backoff {
  readonly #options: BackoffOptions;
  #nextMs: number;

  constructor(options: BackoffOptions) {
    this.#options = options;
    this.#nextMs = options.initialMs;
  }

  /** The delay to wait now, in milliseconds; the one after it is longer. */
  next(): number {
    const delayMs = this.#nextMs;
    this.#nextMs = Math.min(this.#options.maxMs, delayMs * (this.#options.factor ?? 2));
    return delayMs;
  }

  reset(): void {
    this.#nextMs = this.#options.initialMs;
  }
}
