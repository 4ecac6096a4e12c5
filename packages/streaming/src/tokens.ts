import { randomBytes } from "node:crypto";
import { TripodError } from "@tripod/base";

export interface TokenOptions {
  readonly lifetimeMs: number;
  /** The most tokens that may wait to be used. */
  readonly limit: number;
}

/** One-time passwords for requests: each is good for one use within its lifetime. */
export class Tokens<T> {
  readonly #options: TokenOptions;
  /** In the order of issue, which is the order of expiry. */
  readonly #issued = new Map<string, { readonly value: T; readonly expiresAt: number }>();

  constructor(options: TokenOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#issued.size;
  }

  /** 128 random bits that stand for `value`. "exhausted" when too many wait. */
  issue(value: T): string {
    this.#forgetExpired();
    if (this.#issued.size >= this.#options.limit)
      throw new TripodError(
        "exhausted",
        `streaming: ${this.#options.limit} requests were announced and not used yet; connect to them, or try again in a minute`,
      );
    const token = randomBytes(16).toString("base64url");
    this.#issued.set(token, { value, expiresAt: performance.now() + this.#options.lifetimeMs });
    return token;
  }

  /** What `token` stands for, once; undefined for a wrong, used or expired one. */
  redeem(token: string): T | undefined {
    this.#forgetExpired();
    const found = this.#issued.get(token);
    this.#issued.delete(token);
    return found?.value;
  }

  #forgetExpired(): void {
    const now = performance.now();
    for (const [token, { expiresAt }] of this.#issued) {
      if (expiresAt > now) return;
      this.#issued.delete(token);
    }
  }
}
