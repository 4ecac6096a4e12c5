import { processTree, processUse, type ProcessUse } from "./process-use.ts";

const everyMs = 50;

/**
 * Samples the memory and processor time of all processes below this one but the registry, 20 times a second, until it is disposed of. A
 * process's last fraction of such a step is not seen.
 */
export class UseMeter implements Disposable {
  readonly #timer = setInterval(() => this.#sample(), everyMs);
  readonly #first: ReadonlyMap<number, number>;
  readonly #cpuMs = new Map<number, number>();
  /** The highest sum of proportional set sizes. */
  peakBytes = 0;

  constructor() {
    this.#first = new Map(uses().map(({ pid, cpuMs }) => [pid, cpuMs]));
    this.#sample();
  }

  get cpuMs(): number {
    return [...this.#cpuMs].reduce((sum, [pid, cpuMs]) => sum + cpuMs - (this.#first.get(pid) ?? 0), 0);
  }

  #sample(): void {
    const now = uses();
    for (const { pid, cpuMs } of now) this.#cpuMs.set(pid, cpuMs);
    this.peakBytes = Math.max(
      this.peakBytes,
      now.reduce((sum, { pssBytes }) => sum + pssBytes, 0),
    );
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#sample();
  }
}

function uses(): (ProcessUse & { readonly pid: number })[] {
  return below(process.pid).flatMap((pid) => {
    try {
      return [{ pid, ...processUse(pid) }];
    } catch {
      return []; // it ended while we looked
    }
  });
}

function below(pid: number): number[] {
  try {
    return processTree(pid, ["docker-registry"]).slice(1);
  } catch {
    return below(pid); // one ended while we looked
  }
}
