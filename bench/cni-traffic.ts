import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { TripodError } from "@tripod/base";
import { inNetns } from "@tripod/linux";
import { bridge, BenchNetns, clearHost, type CniPeer, hostLocal } from "./cni-network.ts";
import { startCniNetwork, subnets } from "./cni-network.ts";
import type { Comparison } from "./comparison.ts";

export interface TrafficOptions {
  readonly folder: string;
  readonly peers: readonly [CniPeer, CniPeer];
  readonly rounds: number;
}

/** The same within noise: both bridges are the kernel's. */
const aim = [0.9, 1.1] as const;
const sendMs = 1000;
const echoes = 5000;
const bridges = ["bench-tripod", "bench-upstream"] as const;

/** Starts bench/tcp-program.ts in the namespace, with what it prints connected. */
function startProgram(netns: string, args: readonly string[]): ChildProcess & { stdout: NodeJS.ReadableStream } {
  const program = join(import.meta.dirname, "tcp-program.ts");
  const child = inNetns(netns, () =>
    spawn(process.execPath, [...process.execArgv, program, ...args], { stdio: ["ignore", "pipe", "inherit"] }),
  );
  return child;
}

async function numberFrom(netns: string, args: readonly string[]): Promise<number> {
  const child = startProgram(netns, args);
  const number = Number(await text(child.stdout));
  if (Number.isFinite(number) && number > 0) return number;
  throw new TripodError("internal", `measure TCP between Pods: tcp-program.ts ${args.join(" ")} gave no figure`);
}

/** TCP between two Pods on Tripod's bridge and on upstream's, in turns. */
export async function compareTraffic({ folder, peers, rounds }: TrafficOptions): Promise<Comparison[]> {
  await using stack = new AsyncDisposableStack();
  stack.defer(() => clearHost(...bridges));
  const sides = [];
  for (const [index, peer] of peers.entries()) {
    const [name, subnet] = index === 0 ? [bridges[0], subnets.tripod] : [bridges[1], subnets.upstream];
    const own = join(folder, `traffic-${peer.name}`);
    const plugins = (dataDir: string) => [bridge(name, hostLocal(dataDir, subnet))];
    const runtime = stack.use(await startCniNetwork({ peer, folder: own, plugins }));
    const [client, server] = [
      stack.use(new BenchNetns(join(own, "client"))),
      stack.use(new BenchNetns(join(own, "server"))),
    ];
    await runtime.add({ containerId: "client", netns: client.path });
    const { ips } = await runtime.add({ containerId: "server", netns: server.path });
    const host = ips[0]?.address.split("/")[0] ?? "";
    const listening = startProgram(server.path, ["serve"]);
    stack.defer(async () => {
      const ended = once(listening, "exit");
      listening.kill("SIGKILL");
      await ended;
    });
    const [printed] = await once(listening.stdout, "data");
    sides.push({
      client: client.path,
      to: [host, String(printed).trim()],
      rates: [] as number[],
      trips: [] as number[],
    });
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const { client, to, rates, trips } of sides) {
      rates.push((await numberFrom(client, ["send", ...to, String(sendMs)])) / 1e6);
      trips.push(await numberFrom(client, ["echo", ...to, String(echoes)]));
    }
  }
  const [ours, theirs] = sides;
  if (ours === undefined || theirs === undefined) return [];
  return [
    { what: "TCP, Pod to Pod", unit: "MB/s", tripod: ours.rates, upstream: theirs.rates, aim },
    { what: "TCP round trip, Pod to Pod", unit: "us", tripod: ours.trips, upstream: theirs.trips, aim },
  ];
}
