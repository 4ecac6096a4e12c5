// Loaded into the daemon under measurement (node --import): how late its event loop came to what was due. TRIPOD_BENCH_LOOP names the file
// that gets it, as JSON in milliseconds, when the process ends.
import { writeFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { isMainThread } from "node:worker_threads";

export interface EventLoopDelay {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

const file = process.env.TRIPOD_BENCH_LOOP;
if (isMainThread && file !== undefined) {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  // Starting up is not serving: loading the modules takes the loop for as long as it takes.
  setTimeout(() => histogram.enable(), 2_000).unref();
  process.on("exit", () => {
    const at = (percent: number): number => histogram.percentile(percent) / 1e6;
    const delay: EventLoopDelay = { p50: at(50), p99: at(99), p999: at(99.9), max: histogram.max / 1e6 };
    writeFileSync(file, JSON.stringify(delay));
  });
}
