import { type Profiler, Session } from "node:inspector";

/** Tells what of some source files has run since it was last asked, block by block, out of V8's own counters. */
export class BlockCoverage implements Disposable {
  readonly #session = new Session();
  readonly #isWanted: (url: string) => boolean;

  /** `isWanted` is asked with the URL of a source file. */
  constructor(isWanted: (url: string) => boolean) {
    this.#isWanted = isWanted;
    this.#session.connect();
    this.#ask("Profiler.enable");
    this.#ask("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** Each block that has run, with the order of magnitude of how often: "URL:START-END:LOG2". */
  take(): string[] {
    const { result } = this.#ask("Profiler.takePreciseCoverage");
    return result.flatMap(({ url, functions }) =>
      this.#isWanted(url)
        ? functions.flatMap(({ ranges }) =>
            ranges.map(
              ({ startOffset, endOffset, count }) =>
                `${url}:${startOffset}-${endOffset}:${count === 0 ? "never" : Math.floor(Math.log2(count))}`,
            ),
          )
        : [],
    );
  }

  /** The inspector answers a session of the same thread before post() returns. */
  #ask(method: string, parameters: object = {}): Profiler.TakePreciseCoverageReturnType {
    let answer: Profiler.TakePreciseCoverageReturnType | undefined;
    let failure: Error | null = null;
    this.#session.post(method, parameters, (error, result) => {
      failure = error;
      answer = result as Profiler.TakePreciseCoverageReturnType; // the one command that answers is that one
    });
    if (failure !== null) throw failure;
    return answer ?? { result: [] };
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }
}
