// Times the life of a Pod in Tripod's CRI server and in Debian's containerd, side by side in one run, through one CRI client.
//   node bench/cri-cycle.ts [--runs 60] [--pods 10,30] [--parallel 8] [--spans] [--loop] [--json] [--profile DIR]
// Runs in network, mount and process namespaces of its own: neither peer reaches the machine's network, and nothing is left.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { ImageService, NamespaceMode, RuntimeService } from "@tripod/api/cri";
import { layoutOf } from "@tripod/base";
import { type Client, GrpcChannel } from "@tripod/grpc";
import { pushBusybox, startRegistry } from "@tripod/testing";
import { type Instruments, type Peer, startContainerd, startTripod } from "./cri-peers.ts";
import type { EventLoopDelay } from "./event-loop-delay.ts";
import { type BenchPlace, runIsolated } from "./isolated.ts";
import { type MemoryUse, memoryUse } from "./process-memory.ts";
import { spanTable } from "./span-table.ts";
import { percentile, timed } from "./statistics.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "60" },
    pods: { type: "string", default: "10,30" },
    parallel: { type: "string", default: "8" },
    json: { type: "boolean", default: false },
    spans: { type: "boolean", default: false },
    loop: { type: "boolean", default: false },
    profile: { type: "string" },
  },
});

const steps = [
  "RunPodSandbox",
  "CreateContainer",
  "StartContainer",
  "StopContainer",
  "StopPodSandbox",
  "RemovePodSandbox",
] as const;
type Step = (typeof steps)[number];
/** What is summed up over the steps of one cycle: containerd runs `runc create` in Start, Tripod in Create. */
const sums = { "Create + Start": ["CreateContainer", "StartContainer"], whole: steps } as const;
type Sum = keyof typeof sums;
const rowNames = [...steps, "Create + Start", "whole"] as const;

interface Runtime {
  readonly place: BenchPlace;
  readonly peer: Peer;
  readonly image: string;
  readonly runtime: Client<typeof RuntimeService>;
  readonly images: Client<typeof ImageService>;
  readonly samples: Record<Step | Sum, number[]>;
}

/** As a kubelet asks for it, unless the Pod shares it. */
const ownPid = { pid: NamespaceMode.CONTAINER };

const podConfig = (runtime: Runtime, name: string) => ({
  metadata: { name, namespace: "bench", uid: `${runtime.peer.name}-${name}`, attempt: 0 },
  logDirectory: join(runtime.place.folder, "logs", runtime.peer.name, name),
  hostname: name,
  linux: {
    cgroupParent: `${runtime.place.cgroup}/${runtime.peer.name}`,
    securityContext: { namespaceOptions: ownPid },
  },
});

async function startPod(
  runtime: Runtime,
  name: string,
  record?: (step: Step, ms: number) => void,
): Promise<{ podSandboxId: string; containerId: string }> {
  const config = podConfig(runtime, name);
  const sandbox = await timed(() => runtime.runtime.runPodSandbox({ config }));
  record?.("RunPodSandbox", sandbox.ms);
  const { podSandboxId } = sandbox.value;
  const created = await timed(() =>
    runtime.runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: {
        metadata: { name: "main", attempt: 0 },
        image: { image: runtime.image },
        command: ["sleep", "3600"],
        logPath: "main.log",
        linux: { resources: { memoryLimitInBytes: 67_108_864n }, securityContext: { namespaceOptions: ownPid } },
      },
    }),
  );
  record?.("CreateContainer", created.ms);
  const { containerId } = created.value;
  record?.("StartContainer", (await timed(() => runtime.runtime.startContainer({ containerId }))).ms);
  return { podSandboxId, containerId };
}

async function cycle(runtime: Runtime, name: string): Promise<void> {
  const took = new Map<Step, number>();
  const record = (step: Step, ms: number): void => void took.set(step, ms);
  const { podSandboxId, containerId } = await startPod(runtime, name, record);
  record("StopContainer", (await timed(() => runtime.runtime.stopContainer({ containerId, timeout: 0n }))).ms);
  record("StopPodSandbox", (await timed(() => runtime.runtime.stopPodSandbox({ podSandboxId }))).ms);
  record("RemovePodSandbox", (await timed(() => runtime.runtime.removePodSandbox({ podSandboxId }))).ms);
  for (const [step, ms] of took) runtime.samples[step].push(ms);
  const total = (parts: readonly Step[]): number => parts.reduce((sum, step) => sum + (took.get(step) ?? 0), 0);
  runtime.samples["Create + Start"].push(total(sums["Create + Start"]));
  runtime.samples.whole.push(total(sums.whole));
}

/** Pods a second with so many cycles under way at once; the runtimes take turns, round by round. */
async function throughput(runtimes: readonly Runtime[], parallel: number): Promise<Map<Runtime, number[]>> {
  const rounds = 3;
  const podsInRound = parallel * 3;
  const rates = new Map(runtimes.map((runtime) => [runtime, [] as number[]]));
  for (let round = 0; round < rounds; round += 1) {
    for (const runtime of runtimes) {
      let next = 0;
      const worker = async (): Promise<void> => {
        while (next < podsInRound) {
          next += 1;
          const { podSandboxId, containerId } = await startPod(runtime, `round-${round}-${next}`);
          await runtime.runtime.stopContainer({ containerId, timeout: 0n });
          await runtime.runtime.stopPodSandbox({ podSandboxId });
          await runtime.runtime.removePodSandbox({ podSandboxId });
        }
      };
      const { ms } = await timed(() => Promise.all(Array.from({ length: parallel }, worker)));
      rates.get(runtime)?.push(podsInRound / (ms / 1000));
    }
  }
  return rates;
}

async function removeAll(runtime: Runtime): Promise<void> {
  const { items } = await runtime.runtime.listPodSandbox({});
  for (const { id } of items) {
    await runtime.runtime.stopPodSandbox({ podSandboxId: id });
    await runtime.runtime.removePodSandbox({ podSandboxId: id });
  }
}

interface MemoryRow extends MemoryUse {
  /** "started": before the first image; else after the cycles, with so many Pods. */
  readonly when: string;
  readonly name: string;
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

/** What a daemon does of its own accord after its start is over by then. */
const restMs = 2_000;

async function main(place: BenchPlace): Promise<void> {
  const loopFile = join(place.folder, "event-loop.json");
  await measure(place, {
    ...(values.loop ? { loopFile } : {}),
    ...(values.profile === undefined ? {} : { profileDir: values.profile }),
  });
  if (!values.loop) return;
  const { p50, p99, p999, max } = JSON.parse(readFileSync(loopFile, "utf8")) as EventLoopDelay; // event-loop-delay.ts wrote it
  const list = [p50, p99, p999, max].map((ms) => ms.toFixed(1)).join(", ");
  process.stdout.write(`\nEvent loop of tripod, ms late: p50, p99, p99.9, longest: ${list}\n`);
}

async function measure(place: BenchPlace, instruments: Instruments): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const registry = stack.use(await startRegistry());
  const image = await pushBusybox(registry, "bench/busybox:1");
  const pause = await pushBusybox(registry, "bench/pause:1", { spec: { entrypoint: ["/bin/sleep", "infinity"] } });
  const runtimes: Runtime[] = [];
  // The first start after a change compiles every module, and holds what it compiled; the next ones read the cache.
  await (await startTripod(place))[Symbol.asyncDispose]();
  for (const start of [() => startTripod(place, instruments), () => startContainerd(place.folder, pause)]) {
    const peer = stack.use(await start());
    const channel = stack.use(new GrpcChannel({ socket: peer.socket, traced: () => false }));
    const samples = Object.fromEntries(rowNames.map((step) => [step, [] as number[]])) as Runtime["samples"]; // the keys are listed
    const runtime: Runtime = {
      place,
      peer,
      image,
      runtime: channel.client(RuntimeService),
      images: channel.client(ImageService),
      samples,
    };
    runtimes.push(runtime);
    stack.defer(() => removeAll(runtime));
  }
  const memory: MemoryRow[] = [];
  const weigh = (when: string): void => {
    for (const { peer } of runtimes)
      memory.push({ when, name: peer.name, ...memoryUse(peer.pid, peer.supervisor.name, peer.supervisor.mark) });
  };
  await delay(restMs);
  weigh("started");
  for (const { images } of runtimes) await images.pullImage({ image: { image } });
  const runs = Number(values.runs);
  const startedMs = Date.now();
  for (let run = -3; run < runs; run += 1) {
    for (const runtime of runtimes) {
      await cycle(runtime, `pod-${run + 3}`);
      if (run < 0) for (const list of Object.values(runtime.samples)) list.length = 0; // the first ones warm up
    }
    if (process.stderr.isTTY) process.stderr.write(`\r${run + 1}/${runs}`);
  }
  if (values.spans) process.stdout.write(await spanTable(layoutOf(place.root).traceDir, { since: startedMs }));
  let started = 0;
  for (const pods of [0, ...values.pods.split(",").map(Number)]) {
    for (; started < pods; started += 1) for (const runtime of runtimes) await startPod(runtime, `idle-${started}`);
    weigh(`${pods} Pods`);
  }
  for (const runtime of runtimes) await removeAll(runtime);
  report(runtimes, await throughput(runtimes, Number(values.parallel)), memory);
}

function report(
  runtimes: readonly Runtime[],
  rates: ReadonlyMap<Runtime, readonly number[]>,
  memory: readonly MemoryRow[],
): void {
  const [ours, theirs] = runtimes;
  if (ours === undefined || theirs === undefined) return;
  const rows = rowNames.map((step) => {
    const at = (runtime: Runtime, p: number): number => percentile(runtime.samples[step], p);
    return {
      step,
      tripodP50: at(ours, 50),
      tripodP95: at(ours, 95),
      peerP50: at(theirs, 50),
      peerP95: at(theirs, 95),
      ratioP50: at(ours, 50) / at(theirs, 50),
    };
  });
  const rate = (runtime: Runtime): number => percentile(rates.get(runtime) ?? [], 50);
  const parallel = {
    cycles: Number(values.parallel),
    tripodPodsPerSecond: rate(ours),
    peerPodsPerSecond: rate(theirs),
    ratio: rate(ours) / rate(theirs),
  };
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ runs: Number(values.runs), rows, parallel, memory }, null, 2)}\n`);
    return;
  }
  process.stdout.write(
    `\n${"ms".padEnd(18)}${["tripod p50", "p95", "containerd p50", "p95", "ratio p50"].map((text) => text.padStart(16)).join("")}\n`,
  );
  for (const row of rows) {
    const cells = [row.tripodP50, row.tripodP95, row.peerP50, row.peerP95].map((value) =>
      value.toFixed(1).padStart(16),
    );
    process.stdout.write(`${row.step.padEnd(18)}${cells.join("")}${row.ratioP50.toFixed(2).padStart(16)}\n`);
  }
  process.stdout.write(
    `\nPods a second, ${parallel.cycles} cycles at once: tripod ${parallel.tripodPodsPerSecond.toFixed(2)}, containerd ${parallel.peerPodsPerSecond.toFixed(2)}, ratio ${parallel.ratio.toFixed(2)}\n`,
  );
  process.stdout.write(
    `\n${"PSS, MB".padEnd(22)}${["daemon", "supervisors", "their number"].map((text) => text.padStart(16)).join("")}\n`,
  );
  for (const row of memory) {
    process.stdout.write(
      `${`${row.name}, ${row.when}`.padEnd(22)}${[megabytes(row.daemonBytes), megabytes(row.supervisorBytes), String(row.supervisors)].map((text) => text.padStart(16)).join("")}\n`,
    );
  }
}

await runIsolated(main);
