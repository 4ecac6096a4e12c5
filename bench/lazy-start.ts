// Times a container of a Debian image from the pull to its first output, with the image fetched whole first and started early, from one registry.
//   node bench/lazy-start.ts [--runs 5] [--rates 100mbit,none] [--json]
// Runs in network, mount and process namespaces of its own, whose loopback has the rate (tc's tbf); leaves nothing but the root in .cache/bench.
import { mkdirSync, readdirSync, readFileSync, watch, writeFileSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ImageService, NamespaceMode, RuntimeService } from "@tripod/api/cri";
import { runCommand } from "@tripod/base";
import { GrpcChannel } from "@tripod/grpc";
import { unmount, waitForExit } from "@tripod/linux";
import { startRegistry } from "@tripod/testing";
import { startTripod } from "./cri-peers.ts";
import { debianRoot } from "./debian-layers.ts";
import { freshDisk } from "./fresh-disk.ts";
import { type BenchPlace, runIsolated } from "./isolated.ts";
import { percentile } from "./statistics.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "5" },
    rates: { type: "string", default: "100mbit,none" },
    json: { type: "boolean", default: false },
  },
});

const cache = join(import.meta.dirname, "../.cache/bench");
const slow = { timeoutMs: 600_000 };

interface Sample {
  readonly rate: string;
  readonly mode: "whole" | "lazy";
  /** Until PullImage answers, until the container's first line, until the image is whole. */
  readonly pulledMs: number;
  readonly firstLineMs: number;
  readonly wholeMs: number;
  /** That came over the network until the first line. */
  readonly bytes: number;
}

/** What the loopback device has sent, in bytes. */
const sentBytes = (): number => Number(/lo:(?:\s+\d+){8}\s+(\d+)/.exec(readFileSync("/proc/net/dev", "utf8"))?.[1]);

/** Waits until `seen` holds of what is in the folder. */
async function until(folder: string, seen: () => boolean): Promise<void> {
  const watcher = watch(folder);
  try {
    while (!seen()) await once(watcher, "change");
  } finally {
    watcher.close();
  }
}

async function pushImage({ folder, tripod }: BenchPlace, host: string): Promise<string> {
  const tree = join(folder, "tree");
  mkdirSync(tree);
  await runCommand("tar", ["--numeric-owner", "-C", tree, "-xf", await debianRoot(cache), "--exclude=./dev/*"], slow);
  const image = `${host}/debian:1`;
  const root = ["--root", join(folder, "builder")];
  await runCommand(tripod, ["image", "build", tree, "-t", image, "--estargz", "--keep-modes", ...root], slow);
  await runCommand(tripod, ["image", "push", image, ...root], slow);
  return image;
}

async function measure(
  place: BenchPlace,
  { image, mode, rate }: { image: string } & Pick<Sample, "mode" | "rate">,
): Promise<Sample> {
  const folder = join(place.folder, "disk");
  await using _disk = await freshDisk(folder);
  const root = join(folder, "tripod");
  mkdirSync(join(root, "etc"), { recursive: true });
  writeFileSync(join(root, "etc/config.yaml"), "cri: {lazyStart: annotation}\n");
  using stack = new DisposableStack();
  stack.defer(() => void unmount(join(root, "run"), { detach: true }));
  await using daemon = await startTripod({ ...place, folder, root });
  using channel = new GrpcChannel({ socket: daemon.socket, traced: () => false });
  const [images, runtime] = [channel.client(ImageService), channel.client(RuntimeService)];
  const logDirectory = join(folder, "log");
  mkdirSync(logDirectory);
  const config = {
    metadata: { name: "pod", namespace: "bench", uid: "1", attempt: 0 },
    logDirectory,
    annotations: { "lazy-start.tripod.dev": String(mode === "lazy") },
    linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } },
  };
  await runCommand("sync", ["-f", folder]);
  const [startedMs, before] = [performance.now(), sentBytes()];
  const since = (): number => performance.now() - startedMs;
  await images.pullImage({ image: { image }, sandboxConfig: config }, slow);
  const pulledMs = since();
  const { podSandboxId } = await runtime.runPodSandbox({ config }, slow);
  const { containerId } = await runtime.createContainer(
    {
      podSandboxId,
      config: {
        metadata: { name: "c", attempt: 0 },
        image: { image },
        command: ["/usr/bin/python3", "-c", "import json, ssl; print('hello')"],
        logPath: "c.log",
      },
    },
    slow,
  );
  await runtime.startContainer({ containerId }, slow);
  await until(logDirectory, () => readFileSync(join(logDirectory, "c.log"), "utf8").includes("hello"));
  const [firstLineMs, bytes] = [since(), sentBytes() - before];
  const lazy = join(root, "lib/snapshots/lazy");
  const servers = readdirSync(lazy).map((name) =>
    Number(/"owner":"(\d+)/.exec(readFileSync(join(lazy, name, "layer.json"), "utf8"))?.[1]),
  );
  await until(lazy, () => readdirSync(lazy).length === 0);
  const wholeMs = since();
  const ended = Promise.all(servers.map((pid) => waitForExit(pid)));
  await runtime.removePodSandbox({ podSandboxId }, slow);
  await ended;
  return { rate, mode, pulledMs, firstLineMs, wholeMs, bytes };
}

async function main(place: BenchPlace): Promise<void> {
  await using registry = await startRegistry();
  const image = await pushImage(place, registry.host);
  const samples: Sample[] = [];
  for (const rate of values.rates.split(",")) {
    const shape = ["dev", "lo", "root"];
    if (rate !== "none")
      await runCommand("tc", ["qdisc", "add", ...shape, "tbf", "rate", rate, "burst", "128kb", "latency", "100ms"]);
    for (let run = 0; run < Number(values.runs); run += 1) {
      for (const mode of ["whole", "lazy"] as const) {
        samples.push(await measure(place, { image, mode, rate }));
        process.stderr.write(`${run + 1}/${values.runs} ${JSON.stringify(samples.at(-1))}\n`);
      }
    }
    if (rate !== "none") await runCommand("tc", ["qdisc", "del", ...shape]);
  }
  process.stdout.write(values.json ? `${JSON.stringify(samples, null, 2)}\n` : tableOf(samples));
}

function tableOf(samples: readonly Sample[]): string {
  const lines = ["rate      mode   pulled, s  first line, s  p95  whole, s  MB until the first line"];
  for (const rate of new Set(samples.map((sample) => sample.rate))) {
    for (const mode of ["whole", "lazy"] as const) {
      const own = samples.filter((sample) => sample.rate === rate && sample.mode === mode);
      const p = (key: "pulledMs" | "firstLineMs" | "wholeMs", rank = 50): string =>
        (
          percentile(
            own.map((sample) => sample[key]),
            rank,
          ) / 1000
        ).toFixed(2);
      const megabytes =
        percentile(
          own.map(({ bytes }) => bytes),
          50,
        ) / 1e6;
      const cells = [p("pulledMs"), p("firstLineMs"), p("firstLineMs", 95), p("wholeMs"), megabytes.toFixed(1)];
      lines.push([rate.padEnd(9), mode.padEnd(6), ...cells.map((cell) => cell.padStart(9))].join(" "));
    }
  }
  return `${lines.join("\n")}\n`;
}

await debianRoot(cache); // before there is no network
await runIsolated(main);
