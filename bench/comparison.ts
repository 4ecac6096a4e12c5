import { percentile } from "./statistics.ts";

/** One thing, measured of Tripod and of upstream in turns. */
export interface Comparison {
  readonly what: string;
  readonly unit: string;
  readonly tripod: readonly number[];
  readonly upstream: readonly number[];
  /** The most that Tripod's median over upstream's may be; a pair: the least, too. */
  readonly aim: number | readonly [number, number];
}

/** A Comparison as a line of the report. */
export interface ComparisonRow {
  readonly what: string;
  readonly unit: string;
  readonly tripodP50: number;
  readonly tripodP95: number;
  readonly upstreamP50: number;
  readonly upstreamP95: number;
  readonly ratioP50: number;
  readonly aim: string;
  readonly met: boolean;
}

export function rowOf({ what, unit, tripod, upstream, aim }: Comparison): ComparisonRow {
  const [least, most] = typeof aim === "number" ? [0, aim] : aim;
  const [tripodP50, upstreamP50] = [percentile(tripod, 50), percentile(upstream, 50)];
  const ratioP50 = tripodP50 / upstreamP50;
  return {
    what,
    unit,
    tripodP50,
    tripodP95: percentile(tripod, 95),
    upstreamP50,
    upstreamP95: percentile(upstream, 95),
    ratioP50,
    aim: typeof aim === "number" ? `at most ${most}` : `${least} to ${most}`,
    met: ratioP50 >= least && ratioP50 <= most,
  };
}

/** Lines of columns, the first aligned to the left. */
export function textTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(...[header, ...rows].map((row) => row[column]?.length ?? 0), title.length),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ");
  return [header, ...rows].map((row) => `${line(row)}\n`).join("");
}

export const metOrNot = (aim: string, met: boolean): string => `${aim}: ${met ? "met" : "NOT met"}`;

export function comparisonTable(rows: readonly ComparisonRow[]): string {
  const header = ["", "unit", "tripod p50", "p95", "upstream p50", "p95", "ratio p50", "aim"];
  return textTable(
    header,
    rows.map((row) => [
      row.what,
      row.unit,
      ...[row.tripodP50, row.tripodP95, row.upstreamP50, row.upstreamP95].map((value) => value.toFixed(1)),
      row.ratioP50.toFixed(2),
      metOrNot(row.aim, row.met),
    ]),
  );
}
