/** Work on many things of which none is to wait for another: what fails is collected, and thrown in the end. */
export class Attempts {
  readonly #failures: unknown[] = [];

  /** Whether the step came to its end. */
  async make(step: () => Promise<void>): Promise<boolean> {
    try {
      await step();
      return true;
    } catch (error) {
      this.#failures.push(error); // thrown by finish()
      return false;
    }
  }

  /** Throws what failed: one error as it is, several as an AggregateError that says `what` was being done. */
  finish(what: string): void {
    if (this.#failures.length === 1) throw this.#failures[0];
    if (this.#failures.length > 1) throw new AggregateError(this.#failures, what);
  }
}
