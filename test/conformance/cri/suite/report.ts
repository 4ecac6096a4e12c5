import type { Outcome, OutcomeKind } from "./run-specs.ts";

/** The outcomes of one runtime under its name. */
export interface Column {
  readonly runtime: string;
  readonly outcomes: readonly Outcome[];
}

const kinds: readonly OutcomeKind[] = ["passed", "failed", "not implemented", "skipped"];

/** The specs by topic with a column for each runtime, then the sums, then why what has not passed has not. */
export function report(columns: readonly Column[]): string {
  const specs = columns[0]?.outcomes ?? [];
  const width = Math.max(...specs.map(({ name }) => name.length)) + 2;
  const row = (name: string, cells: readonly string[]): string =>
    `${name.padEnd(width)}${cells.map((cell) => `| ${cell.padEnd(16)}`).join("")}`.trimEnd();
  const lines = [
    row(
      "spec",
      columns.map(({ runtime }) => runtime),
    ),
    "-".repeat(width + columns.length * 18),
  ];
  let topic = "";
  for (const [index, spec] of specs.entries()) {
    if (spec.topic !== topic) lines.push(`${spec.topic}:`);
    topic = spec.topic;
    lines.push(
      row(
        `  ${spec.name}`,
        columns.map(({ outcomes }) => outcomes[index]?.kind ?? ""),
      ),
    );
  }
  lines.push("-".repeat(width + columns.length * 18));
  for (const kind of kinds) {
    const count = ({ outcomes }: Column): string => String(outcomes.filter((outcome) => outcome.kind === kind).length);
    lines.push(row(kind, columns.map(count)));
  }
  for (const { runtime, outcomes } of columns) {
    const others = outcomes.filter(({ kind }) => kind !== "passed");
    if (others.length > 0) lines.push("", `${runtime}:`);
    for (const { topic: of, name, kind, reason } of others) lines.push(`  ${kind}: ${of}: ${name}: ${reason}`);
  }
  return lines.join("\n");
}
