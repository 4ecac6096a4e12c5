import { spawnSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TripodError } from "@tripod/base";
import { metOrNot, textTable } from "./comparison.ts";
import { percentile } from "./statistics.ts";

export interface StartOptions {
  readonly folder: string;
  /** Where Tripod's executables are, and upstream's. */
  readonly binDir: string;
  readonly upstreamDir: string;
  readonly runs: number;
}

export interface StartRow {
  readonly what: string;
  readonly p50Ms: number;
  readonly p95Ms: number;
  /** Of the medians. */
  readonly ofBareNode: number;
}

/** The most that an executable's start may take, as a ratio of bare Node's. */
const startAim = 1.3;
const warmUps = 3;

/** From the call of an executable to its end, when all it does is tell its versions; beside a Node that does nothing. */
export function compareStarts({ folder, binDir, upstreamDir, runs }: StartOptions): StartRow[] {
  const bare = join(folder, "bare-node");
  writeFileSync(bare, `#!${process.execPath}\n`);
  chmodSync(bare, 0o755);
  const subjects = [
    { what: "bare Node", file: bare },
    { what: "Tripod's bridge VERSION", file: join(binDir, "bridge") },
    { what: "upstream's bridge VERSION", file: join(upstreamDir, "bridge") },
  ].map((subject) => ({ ...subject, samples: [] as number[] }));
  const env = { CNI_COMMAND: "VERSION" };
  for (let run = -warmUps; run < runs; run += 1) {
    for (const { what, file, samples } of subjects) {
      const startedMs = performance.now();
      const { status } = spawnSync(file, { input: "{}", env });
      if (status !== 0) throw new TripodError("internal", `start ${what}: ${file} ended with ${status ?? "a signal"}`);
      if (run >= 0) samples.push(performance.now() - startedMs);
    }
  }
  const bareMs = percentile(subjects[0]?.samples ?? [], 50);
  return subjects.map(({ what, samples }) => ({
    what,
    p50Ms: percentile(samples, 50),
    p95Ms: percentile(samples, 95),
    ofBareNode: percentile(samples, 50) / bareMs,
  }));
}

export const startTable = (rows: readonly StartRow[]): string =>
  textTable(
    ["an executable's start, ms", "p50", "p95", "of bare Node", "aim"],
    rows.map(({ what, p50Ms, p95Ms, ofBareNode }) => [
      what,
      p50Ms.toFixed(1),
      p95Ms.toFixed(1),
      ofBareNode.toFixed(2),
      what.startsWith("Tripod") ? metOrNot(`at most ${startAim}`, ofBareNode <= startAim) : "",
    ]),
  );
