// Times Tripod's CNI plugins and upstream's (Debian's containernetworking-plugins) side by side: bridge, host-local and portmap.
// Runs in network, mount and process namespaces of its own and leaves nothing. `node bench/cni.ts --help` lists the options.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { TripodError } from "@tripod/base";
import { upstreamDir } from "@tripod/cni/testing";
import { installPlugins, ownPlugins } from "@tripod/plugin-bundle";
import { compareChains } from "./cni-chain.ts";
import { compareGrowth, growthTable, type GrowthRow } from "./cni-growth.ts";
import type { CniPeer } from "./cni-network.ts";
import { compareStarts, startTable } from "./cni-start.ts";
import { compareTraffic } from "./cni-traffic.ts";
import { type Comparison, comparisonTable, rowOf } from "./comparison.ts";
import { type BenchPlace, runIsolated } from "./isolated.ts";

const parts = ["in-process", "executables", "start", "growth", "traffic"] as const;

const help = `node bench/cni.ts [options]
  --runs 60              ADDs and DELs of each peer (parts in-process, executables and start)
  --only PART            one of ${parts.join(", ")}; several by commas
  --pods 500             part growth: Pods on one bridge
  --reservations 10000   part growth: addresses in host-local
  --mappings 1000        part growth: port mappings, one an ADD
  --seconds 60           part growth: a peer ends each of these after so long
  --rounds 8             part traffic: measurements of each peer
  --json                 the figures as JSON
Upstream's executables are those of ${upstreamDir}; TRIPOD_TEST_CNI_BIN names another folder.
`;

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "60" },
    only: { type: "string", default: parts.join(",") },
    pods: { type: "string", default: "500" },
    reservations: { type: "string", default: "10000" },
    mappings: { type: "string", default: "1000" },
    seconds: { type: "string", default: "60" },
    rounds: { type: "string", default: "8" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

function wantedParts(): ReadonlySet<string> {
  const wanted = values.only.split(",");
  const unknown = wanted.find((name) => !parts.some((part) => part === name));
  if (unknown === undefined) return new Set(wanted);
  throw new TripodError("invalid", `--only ${unknown}: there are ${parts.join(", ")}`);
}

async function main({ folder }: BenchPlace): Promise<void> {
  const wanted = wantedParts();
  const binDir = join(folder, "bin");
  await installPlugins(binDir);
  const inProcess: CniPeer = { name: "in process", plugins: ownPlugins, binDir };
  const executables: CniPeer = { name: "executables", plugins: new Map(), binDir };
  const upstream: CniPeer = { name: "upstream", plugins: new Map(), binDir: upstreamDir };
  const runs = Number(values.runs);
  const comparisons: Comparison[] = [];
  if (wanted.has("in-process"))
    comparisons.push(...(await compareChains({ folder, runs, peers: [inProcess, upstream], aim: 0.1 })));
  if (wanted.has("executables"))
    comparisons.push(...(await compareChains({ folder, runs, peers: [executables, upstream], aim: 1.3 })));
  if (wanted.has("traffic"))
    comparisons.push(
      ...(await compareTraffic({ folder, rounds: Number(values.rounds), peers: [inProcess, upstream] })),
    );
  const starts = wanted.has("start") ? compareStarts({ folder, binDir, upstreamDir, runs }) : [];
  const growth: GrowthRow[] = wanted.has("growth")
    ? await compareGrowth({
        folder,
        peers: [inProcess, upstream],
        pods: Number(values.pods),
        reservations: Number(values.reservations),
        mappings: Number(values.mappings),
        secondsEach: Number(values.seconds),
      })
    : [];
  const rows = comparisons.map(rowOf);
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ runs, rows, starts, growth }, null, 2)}\n`);
    return;
  }
  if (rows.length > 0) process.stdout.write(`\n${comparisonTable(rows)}`);
  if (starts.length > 0) process.stdout.write(`\n${startTable(starts)}`);
  if (growth.length > 0) process.stdout.write(`\n${growthTable(growth)}`);
}

if (values.help) process.stdout.write(help);
else {
  wantedParts();
  if (!existsSync(join(upstreamDir, "bridge")))
    throw new TripodError(
      "failed-precondition",
      `compare CNI plugins: upstream's are not in ${upstreamDir}; install containernetworking-plugins`,
    );
  await runIsolated(main);
}
