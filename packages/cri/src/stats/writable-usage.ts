import { isTripodError } from "@tripod/base";
import type { Images, WritableUsage as Written } from "@tripod/oci";
import { nowNs } from "../now.ts";

export interface WritableUsage extends Written {
  readonly atNs: bigint;
}

/** Counting may take this share of one CPU at the most: the next count waits for so many times what the last one took. */
const restFactor = 20;

/**
 * What containers have written into their root file systems. Counting walks all of it, and several ask every few seconds, so an answer serves
 * until the count has rested twenty times as long as it took; it says when it was counted.
 */
export class WritableUsages {
  readonly #images: Images;
  readonly #last = new Map<string, { readonly usage: Promise<WritableUsage | undefined>; until: number }>();

  constructor(images: Images) {
    this.#images = images;
  }

  /** Undefined for a container that is being removed. */
  get(containerId: string): Promise<WritableUsage | undefined> {
    const last = this.#last.get(containerId);
    if (last !== undefined && performance.now() < last.until) return last.usage;
    const startedAt = performance.now();
    const usage = this.#count(containerId);
    const entry = { usage, until: Number.POSITIVE_INFINITY };
    const settle = (): void => {
      entry.until = performance.now() + restFactor * (performance.now() - startedAt);
    };
    usage.then(settle, settle);
    this.#last.set(containerId, entry);
    return usage;
  }

  /** Forgets all that `keep` does not want. */
  prune(keep: (containerId: string) => boolean): void {
    for (const id of this.#last.keys()) if (!keep(id)) this.#last.delete(id);
  }

  async #count(containerId: string): Promise<WritableUsage | undefined> {
    const atNs = nowNs();
    try {
      return { atNs, ...(await this.#images.rootfsUsage(containerId)) };
    } catch (error) {
      if (isTripodError(error, "not-found")) return undefined;
      throw error;
    }
  }
}
