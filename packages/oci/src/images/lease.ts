import { randomHex } from "@tripod/base";
import type { Digest } from "../digest.ts";
import { processToken } from "../snapshots/temporary-folders.ts";
import type { ImageRecords } from "./image-records.ts";

/**
 * Holds blobs and layers against garbage collection while an operation is at work; in the records, so that every process sees it.
 * One whose process died does not count.
 */
export class Lease implements Disposable {
  readonly #records: ImageRecords;
  readonly #id = randomHex(8);
  readonly #blobs = new Set<Digest>();
  readonly #chains = new Set<Digest>();

  constructor(records: ImageRecords) {
    this.#records = records;
  }

  /** Adds to what is held. Only then may the caller look whether it is there. */
  hold(blobs: readonly Digest[], chains: readonly Digest[] = []): void {
    for (const digest of blobs) this.#blobs.add(digest);
    for (const chain of chains) this.#chains.add(chain);
    this.#records.leases.put(this.#id, { owner: processToken(), blobs: [...this.#blobs], chains: [...this.#chains] });
  }

  [Symbol.dispose](): void {
    this.#records.leases.delete(this.#id);
  }
}
