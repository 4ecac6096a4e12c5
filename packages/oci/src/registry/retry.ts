import { setTimeout as delay } from "node:timers/promises";
import { Backoff, codeOf, TripodError } from "@tripod/base";

const passingStatus = new Set([408, 425, 429, 500, 502, 503, 504]);
const passingErrors = new Set([
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "EAI_AGAIN",
  "ERR_STREAM_PREMATURE_CLOSE",
  "HPE_INVALID_EOF_STATE",
]);

/** No answer of a server makes us wait longer than this. */
const maxWaitMs = 30_000;

export const isPassingStatus = (status: number): boolean => passingStatus.has(status);

/** True for failures of a connection, which another attempt may not meet. */
export function isPassingError(error: unknown): boolean {
  if (codeOf(error) === "timeout") return true;
  return error instanceof Error && "code" in error && passingErrors.has(String(error.code));
}

/** What a Retry-After header asks for, in milliseconds: seconds or an HTTP date; at most 30 s. */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  const wanted = /^\d{1,9}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs;
  return Number.isNaN(wanted) ? undefined : Math.min(maxWaitMs, Math.max(0, wanted));
}

/** Counts attempts, and waits longer before each. */
export class Attempts {
  readonly #limit: number;
  readonly #backoff = new Backoff({ initialMs: 100, maxMs: 5000 });
  #used = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Something went forward: counting starts again. */
  progress(): void {
    this.#used = 0;
    this.#backoff.reset();
  }

  /** Waits before the next attempt; false when there is none left. */
  async again(signal: AbortSignal | undefined, waitMs?: number): Promise<boolean> {
    this.#used += 1;
    if (this.#used >= this.#limit) return false;
    try {
      await delay(waitMs ?? this.#backoff.next(), undefined, signal === undefined ? {} : { signal });
    } catch (cause) {
      throw new TripodError("cancelled", "ask the registry: cancelled", { cause });
    }
    return true;
  }
}
