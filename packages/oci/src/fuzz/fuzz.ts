import { gzipSync } from "node:zlib";
import { type SeededRandom, seededRandom } from "@tripod/testing";
import type { BlockCoverage } from "./block-coverage.ts";
import { mutate } from "./mutate.ts";

export interface FuzzOptions {
  readonly seed: number;
  /** Well-formed inputs to begin with. */
  readonly corpus: readonly Buffer[];
  /** Pieces that mean something to the parser and that no chance would find. */
  readonly words: readonly Buffer[];
  /** Makes a mutated input well-formed where chance would not (checksums). */
  readonly mend?: (input: Buffer, random: SeededRandom) => Buffer;
  /** Throws when the parser does what it must not. */
  readonly check: (input: Buffer, random: SeededRandom) => void;
  /** Without it nothing is kept but the corpus: an input costs a tenth. */
  readonly coverage?: BlockCoverage | undefined;
  /** Another input, until this says no. */
  readonly goOn: (count: number) => boolean;
}

export interface FuzzReport {
  readonly inputs: number;
  /** Inputs that made code run which had not run before, or much more often, and were kept to be mutated on. */
  readonly kept: number;
}

const batch = 100;
const maxCorpus = 2000;

/**
 * Feeds a parser with mutations of inputs, and keeps those that reach something new: of a batch that does, each is looked at alone. Fails
 * with the seed and the input where `check` throws.
 */
export function fuzz({ seed, corpus, words, mend, check, coverage, goOn }: FuzzOptions): FuzzReport {
  const random = seededRandom(seed);
  const kept = [...corpus];
  const seen = new Set<string>();
  let inputs = 0;
  const run = (input: Buffer): void => {
    try {
      check(input, random);
    } catch (cause) {
      const shown = `${JSON.stringify(input.toString("latin1").slice(0, 200))}, gzip and base64 ${gzipSync(input).toString("base64")}`;
      throw new Error(`seed ${seed}, input ${inputs}: ${shown}`, { cause });
    }
  };
  const isNew = (): boolean => {
    let found = false;
    for (const block of coverage?.take() ?? []) {
      if (seen.has(block)) continue;
      seen.add(block);
      found = true;
    }
    return found;
  };
  for (const input of corpus) run(input);
  isNew();
  while (goOn(inputs)) {
    const tried: Buffer[] = [];
    for (let count = 0; count < batch; count += 1) {
      const mutated = mutate(random.pick(kept), { random, words, other: random.pick(kept) });
      const input = random.below(8) > 0 && mend !== undefined ? mend(mutated, random) : mutated;
      run(input);
      tried.push(input);
      inputs += 1;
    }
    if (!isNew()) continue;
    // Counts of a batch are larger than those of one input, so what is new in it is looked for anew.
    for (const input of tried) {
      run(input);
      if (isNew() && kept.length < maxCorpus) kept.push(input);
    }
  }
  return { inputs, kept: kept.length - corpus.length };
}
