import { interopPrefix } from "@tripod/testing";

export type TestOutcome = "passed" | "failed" | "skipped";

/** A test's or suite's end, as node:test reports it: one file after another, and those within a suite before the suite itself. */
export interface TestEnd {
  readonly name: string;
  readonly nesting: number;
  readonly isSuite: boolean;
  readonly outcome: TestOutcome;
}

type Counts = Record<TestOutcome, number>;

/** Collects, while tests end, which ones count for a cell of the interoperability matrix. */
export class InteropMatrix {
  readonly #cells = new Map<string, Counts>();
  /** Tests that have ended in a suite that has not. */
  #pending: { readonly nesting: number; readonly outcome: TestOutcome }[] = [];

  add(end: TestEnd): void {
    const inside = end.isSuite ? this.#pending.filter(({ nesting }) => nesting > end.nesting) : [];
    const cell = cellOf(end.name);
    if (cell !== undefined) {
      // A suite that never came to its tests, skipped or failed as a whole, counts as one.
      for (const { outcome } of inside.length > 0 ? inside : [end]) this.#count(cell, outcome);
      this.#pending = this.#pending.filter((each) => !inside.includes(each));
    } else if (end.nesting === 0) {
      this.#pending = [];
    } else if (!end.isSuite) {
      this.#pending.push(end);
    }
  }

  /** The table, a line a cell, sorted; empty when no test has declared one. */
  lines(): string[] {
    const rows = [...this.#cells]
      .map(([cell, { passed, failed, skipped }]) => [...cell.split("\0"), passed, failed, skipped].map(String))
      .toSorted((a, b) => a.slice(0, 3).join("\0").localeCompare(b.slice(0, 3).join("\0"), "en"));
    if (rows.length === 0) return [];
    const table = [["interface", "caller", "callee", "passed", "failed", "skipped"], ...rows];
    const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
    return table.map((row) =>
      row
        .map((text, column) => (column < 3 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0)))
        .join("  ")
        .trimEnd(),
    );
  }

  #count(cell: string, outcome: TestOutcome): void {
    const counts = this.#cells.get(cell) ?? { passed: 0, failed: 0, skipped: 0 };
    counts[outcome] += 1;
    this.#cells.set(cell, counts);
  }
}

/** Interface, caller and callee of a test's name, joined by NUL; undefined when it declares no cell. */
function cellOf(name: string): string | undefined {
  if (!name.startsWith(interopPrefix)) return undefined;
  const match = /^(.+?) \| (.+?) -> (.+?)(?: \| .*)?$/.exec(name.slice(interopPrefix.length));
  return match === null ? undefined : match.slice(1, 4).join("\0");
}
