// Times pulling and unpacking images in Tripod, Debian's containerd and skopeo with umoci, side by side in one run, from one registry.
//   node bench/image-pull.ts [--runs 5] [--peers tripod,containerd] [--cases one,ten,many,large,huge] [--json] [--profile DIR]
// Runs in network, mount and process namespaces of its own and leaves nothing but its images in .cache/bench, which the first run makes.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runCommand, TripodError } from "@tripod/base";
import { startRegistry } from "@tripod/testing";
import { benchLayers } from "./debian-layers.ts";
import { freshDisk } from "./fresh-disk.ts";
import { type BenchPlace, runIsolated } from "./isolated.ts";
import { type PullPeer, type PullPeerName, pullPeers } from "./pull-peers.ts";
import { pushLayers } from "./push-layers.ts";
import { percentile, timed } from "./statistics.ts";
import { UseMeter } from "./use-meter.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "5" },
    peers: { type: "string", default: Object.keys(pullPeers).join(",") },
    cases: { type: "string", default: "one,ten,many,large,huge" },
    json: { type: "boolean", default: false },
    profile: { type: "string" },
  },
});

interface Step {
  readonly name: string;
  /** Pulled all at once. */
  readonly images: readonly string[];
}

interface Sample {
  readonly peer: PullPeerName;
  readonly step: string;
  readonly ms: number;
  readonly cpuMs: number;
  readonly peakBytes: number;
}

const cache = join(import.meta.dirname, "../.cache/bench");

/** Each case starts with an empty store; its steps follow one another in it. */
async function pushCases(host: string): Promise<ReadonlyMap<string, readonly Step[]>> {
  const layers = await benchLayers(cache);
  const one = await pushLayers(host, "one", layers.one);
  const ten = await pushLayers(host, "ten", layers.ten);
  const other = await pushLayers(host, "other", layers.otherTen);
  const many = await Array.fromAsync(layers.twenty, (layer, index) => pushLayers(host, `many-${index}`, [layer]));
  const large = await pushLayers(host, "large", layers.large);
  const huge = await pushLayers(host, "huge", layers.huge);
  return new Map([
    ["one", [{ name: "one layer, cold", images: [one] }]],
    [
      "ten",
      [
        { name: "ten layers, cold", images: [ten] },
        { name: "ten layers, already there", images: [ten] },
        { name: "nine of ten layers there", images: [other] },
      ],
    ],
    ["many", [{ name: "20 images at once, cold", images: many }]],
    ["large", [{ name: "one file of 100 MB", images: [large] }]],
    ["huge", [{ name: "one file of 1 GB", images: [huge] }]],
  ]);
}

async function measure(
  disk: string,
  daemon: PullPeer,
  { peer, name, images }: Step & { readonly peer: PullPeerName },
): Promise<Sample> {
  await runCommand("sync", ["-f", disk]); // what came before is written, so that nobody pays for it
  using meter = new UseMeter();
  const { ms } = await timed(() => Promise.all(images.map((image) => daemon.pull(image))));
  meter[Symbol.dispose]();
  return { peer, step: name, ms, cpuMs: meter.cpuMs, peakBytes: meter.peakBytes };
}

async function main(place: BenchPlace): Promise<void> {
  await using registry = await startRegistry();
  const cases = await pushCases(registry.host);
  const wanted = values.cases.split(",");
  const peers = values.peers.split(",").map((name) => peerNamed(name));
  const samples: Sample[] = [];
  for (let run = 0; run < Number(values.runs); run += 1) {
    for (const name of wanted) {
      for (const peer of peers) {
        const folder = join(place.folder, "disk");
        await using _disk = await freshDisk(folder);
        await using daemon = await pullPeers[peer]({ ...place, folder, root: join(folder, "tripod") }, values.profile);
        for (const step of cases.get(name) ?? []) {
          samples.push(await measure(folder, daemon, { ...step, peer }));
          process.stderr.write(
            `${run + 1}/${values.runs} ${peer}: ${step.name}: ${samples.at(-1)?.ms.toFixed(0)} ms\n`,
          );
        }
      }
    }
  }
  const steps = wanted.flatMap((name) => cases.get(name) ?? []).map(({ name }) => name);
  process.stdout.write(values.json ? `${JSON.stringify(samples, null, 2)}\n` : tableOf(samples, peers, steps));
}

function peerNamed(name: string): PullPeerName {
  if (name in pullPeers) return name as PullPeerName; // just seen
  throw new TripodError("invalid", `--peers ${name}: not one of ${Object.keys(pullPeers).join(",")}`);
}

function tableOf(samples: readonly Sample[], peers: readonly PullPeerName[], steps: readonly string[]): string {
  const columns = ["wall p50, s", "p95", "CPU p50, s", "peak PSS, MB"].map((text) => text.padStart(14)).join("");
  const lines = [`${"".padEnd(44)}${columns}`];
  for (const step of steps) {
    for (const peer of peers) {
      const own = samples.filter((sample) => sample.step === step && sample.peer === peer);
      const walls = own.map(({ ms }) => ms / 1000);
      const cells = [
        percentile(walls, 50).toFixed(2),
        percentile(walls, 95).toFixed(2),
        (
          percentile(
            own.map(({ cpuMs }) => cpuMs),
            50,
          ) / 1000
        ).toFixed(2),
        (Math.max(...own.map(({ peakBytes }) => peakBytes)) / 1e6).toFixed(0),
      ];
      lines.push(`${`${step}: ${peer}`.padEnd(44)}${cells.map((text) => text.padStart(14)).join("")}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

await benchLayers(cache); // outside, where there is a network
await runIsolated(main);
