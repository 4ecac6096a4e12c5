// Times `tripod up` to its ready line and a Pod from its creation to Running, and weighs the node at rest.
//   node bench/start.ts [--runs 10] [--rest 60] [--json]
// Runs in network, mount and process namespaces of its own and leaves nothing.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { Pod, Stored } from "@tripod/api/kubernetes";
import { layoutOf, runCommand } from "@tripod/base";
import { KubeClient, pods, waitFor } from "@tripod/kube";
import { pushBusybox, startRegistry } from "@tripod/testing";
import { type BenchPlace, runIsolated } from "./isolated.ts";
import { readReadyLine } from "./node-under-test.ts";
import { processTree, processUse } from "./process-use.ts";
import { spanTable } from "./span-table.ts";
import { percentile, timed } from "./statistics.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "10" },
    rest: { type: "string", default: "60" },
    json: { type: "boolean", default: false },
  },
});

interface Node extends AsyncDisposable {
  readonly pid: number;
  /** From the program's start to the ready line. */
  readonly readyMs: number;
}

/** Runs `tripod up`; disposed of, it is stopped as by Ctrl-C. */
async function startNode({ root, tripod }: BenchPlace): Promise<Node> {
  const startedMs = performance.now();
  const child = spawn(tripod, ["up", "--root", root], { stdio: ["ignore", "pipe", "inherit"] });
  await readReadyLine(child);
  return {
    pid: child.pid ?? 0,
    readyMs: performance.now() - startedMs,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return;
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    },
  };
}

async function startOnce(place: BenchPlace): Promise<number> {
  await using node = await startNode(place);
  return node.readyMs;
}

const podOf = (name: string, image: string): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: {
    terminationGracePeriodSeconds: 30,
    containers: [
      {
        name: "main",
        image,
        imagePullPolicy: "IfNotPresent",
        command: ["sh", "-c", "trap exit TERM; sleep 3600 & wait"],
      },
    ],
  },
});

const isScheduled = (pod: Stored<Pod> | undefined): boolean =>
  pod?.status?.conditions?.some(({ type, status }) => type === "PodScheduled" && status === "True") === true;
const isRunning = (pod: Stored<Pod> | undefined): boolean => pod?.status?.phase === "Running";
const isGone = (pod: Stored<Pod> | undefined): boolean => pod === undefined;

interface PodTimes {
  readonly createdToRunningMs: number;
  readonly scheduledToRunningMs: number;
  readonly deletedToGoneMs: number;
}

async function timePod(client: KubeClient, name: string, image: string): Promise<PodTimes> {
  const resource = client.resource(pods);
  const where = { namespace: "default" };
  const startedMs = performance.now();
  await resource.create(podOf(name, image), where);
  const at = async (condition: typeof isRunning): Promise<number> => {
    await waitFor(resource, name, condition, where);
    return performance.now();
  };
  const [scheduledMs, runningMs] = await Promise.all([at(isScheduled), at(isRunning)]);
  const { ms: deletedToGoneMs } = await timed(async () => {
    await resource.delete(name, where);
    await waitFor(resource, name, isGone, where);
  });
  return { createdToRunningMs: runningMs - startedMs, scheduledToRunningMs: runningMs - scheduledMs, deletedToGoneMs };
}

interface Rest {
  readonly name: string;
  readonly rssBytes: number;
  readonly pssBytes: number;
  readonly anonymousBytes: number;
  /** Of one processor, in percent. */
  readonly cpuPercent: number;
  readonly wakeupsPerSecond: number;
}

/** What the node's own processes use while nobody asks anything of it. */
async function weighAtRest(node: Node, seconds: number): Promise<Rest[]> {
  const pids = processTree(node.pid, ["conmon"]);
  const before = pids.map((pid) => processUse(pid));
  await delay(seconds * 1000);
  return pids.map((pid, index) => {
    const now = processUse(pid);
    const then = before[index] ?? now;
    const { rssBytes, pssBytes, anonymousBytes } = now;
    return {
      name: index === 0 ? "tripod up" : "a CSI driver",
      rssBytes,
      pssBytes,
      anonymousBytes,
      cpuPercent: (now.cpuMs - then.cpuMs) / (seconds * 10),
      wakeupsPerSecond: (now.contextSwitches - then.contextSwitches) / seconds,
    };
  });
}

async function main(place: BenchPlace): Promise<void> {
  const { root, tripod } = place;
  const runs = Number(values.runs);
  await using registry = await startRegistry();
  const image = await pushBusybox(registry, "bench/busybox:1");
  const first: number[] = [];
  const again: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    first.push(await startOnce(place));
    again.push(await startOnce(place));
    await runCommand(tripod, ["down", "--root", root]);
    rmSync(root, { recursive: true, force: true });
  }
  await using node = await startNode(place);
  using client = KubeClient.fromKubeconfig(layoutOf(root).kubeconfig);
  await delay(5000); // what a start does afterwards is no rest
  const rest = await weighAtRest(node, Number(values.rest));
  await timePod(client, "warm-up", image); // pulls the image
  const startedMs = Date.now();
  const times: PodTimes[] = [];
  for (let run = 0; run < runs; run += 1) times.push(await timePod(client, `pod-${run}`, image));
  const spans = await spanTable(layoutOf(root).traceDir, { since: startedMs });
  const rows = [
    ["up, empty root", first],
    ["up, once more", again],
    ["Pod created to Running", times.map((each) => each.createdToRunningMs)],
    ["Pod scheduled to Running", times.map((each) => each.scheduledToRunningMs)],
    ["Pod deleted to gone", times.map((each) => each.deletedToGoneMs)],
  ] as const;
  report(
    rows.map(([name, samples]) => ({ name, p50: percentile(samples, 50), p95: percentile(samples, 95) })),
    rest,
    spans,
  );
}

function report(
  rows: readonly { name: string; p50: number; p95: number }[],
  rest: readonly Rest[],
  spans: string,
): void {
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ runs: Number(values.runs), rows, rest }, null, 2)}\n`);
    return;
  }
  const cells = (texts: readonly string[]): string => texts.map((text) => text.padStart(12)).join("");
  const lines = [
    `${"ms".padEnd(26)}${cells(["p50", "p95"])}`,
    ...rows.map(({ name, p50, p95 }) => `${name.padEnd(26)}${cells([p50.toFixed(0), p95.toFixed(0)])}`),
    "",
    `${"at rest".padEnd(26)}${cells(["RSS, MB", "PSS, MB", "own, MB", "CPU, %", "wakeups/s"])}`,
    ...rest.map((each) => {
      const megabytes = [each.rssBytes, each.pssBytes, each.anonymousBytes].map((bytes) => (bytes / 1e6).toFixed(1));
      return `${each.name.padEnd(26)}${cells([...megabytes, each.cpuPercent.toFixed(2), each.wakeupsPerSecond.toFixed(1)])}`;
    }),
  ];
  process.stdout.write(`${lines.join("\n")}\n${spans}`);
}

await runIsolated(main);
