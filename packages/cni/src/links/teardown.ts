/** A teardown whose steps all get their turn: what fails is collected, and thrown in the end. */
export class Teardown {
  readonly #failures: unknown[] = [];

  async attempt(step: () => unknown): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#failures.push(error); // thrown by finish()
    }
  }

  /** Throws what failed: one error as it is, several as an AggregateError that says `what` was being done. */
  finish(what: string): void {
    if (this.#failures.length === 1) throw this.#failures[0];
    if (this.#failures.length > 1) throw new AggregateError(this.#failures, what);
  }
}
