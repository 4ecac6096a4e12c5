import { TripodError } from "@tripod/base";

/** What one layer may unpack to; more is taken for a decompression bomb. */
export interface LayerLimits {
  /** Bytes of tar stream and of file contents, holes of sparse files included. */
  readonly unpackedBytes: number;
  readonly entries: number;
}

export const defaultLayerLimits: LayerLimits = { unpackedBytes: 64 * 1024 ** 3, entries: 4_000_000 };

/** Counts what a layer takes and stops it at its limits. */
export class LayerBudget {
  readonly #limits: LayerLimits;
  #bytes = 0;
  #entries = 0;
  #logicalBytes = 0;

  constructor(limits: LayerLimits) {
    this.#limits = limits;
  }

  /** Another piece of the unpacked stream. */
  stream(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.#limits.unpackedBytes) throw this.#tooMuch(`more than ${this.#limits.unpackedBytes} bytes`);
  }

  /** Another member with a file of `size` bytes. */
  entry(size: number): void {
    this.#entries += 1;
    this.#logicalBytes += size;
    if (this.#entries > this.#limits.entries) throw this.#tooMuch(`more than ${this.#limits.entries} files`);
    if (this.#logicalBytes > this.#limits.unpackedBytes) {
      throw this.#tooMuch(`files of more than ${this.#limits.unpackedBytes} bytes`);
    }
  }

  #tooMuch(what: string): TripodError {
    return new TripodError("exhausted", `unpack layer: it holds ${what}, the configured maximum; the layer is refused`);
  }
}
