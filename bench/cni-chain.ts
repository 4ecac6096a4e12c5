import { join } from "node:path";
import type { CniRuntime } from "@tripod/cni";
import { bridge, BenchNetns, clearHost, type CniPeer, hostLocal, portmap, portMapping } from "./cni-network.ts";
import { startCniNetwork, subnets } from "./cni-network.ts";
import type { Comparison } from "./comparison.ts";
import { timed } from "./statistics.ts";

export interface ChainOptions {
  readonly folder: string;
  readonly runs: number;
  /** Tripod's, upstream's. */
  readonly peers: readonly [CniPeer, CniPeer];
  /** The most that Tripod may take, as a ratio of upstream's. */
  readonly aim: number;
}

/** A daemon has done many an ADD, and V8 compiled it in earnest; an executable starts anew each time. */
const warmUpsOf = ({ plugins }: CniPeer): number => (plugins.size > 0 ? 150 : 3);
interface Side {
  readonly runtime: CniRuntime;
  readonly warmUps: number;
  readonly add: number[];
  readonly del: number[];
}

const bridgeOf = ["bench-tripod", "bench-upstream"] as const;

/** ADD and DEL of bridge, host-local and portmap for one Pod after the other, the peers taking turns. */
export async function compareChains({ folder, runs, peers, aim }: ChainOptions): Promise<Comparison[]> {
  await using stack = new AsyncDisposableStack();
  stack.defer(() => clearHost(...bridgeOf));
  const sides: Side[] = [];
  for (const [index, peer] of peers.entries()) {
    const [name, subnet] = index === 0 ? [bridgeOf[0], subnets.tripod] : [bridgeOf[1], subnets.upstream];
    const runtime = stack.use(
      await startCniNetwork({
        peer,
        folder: join(folder, `chain-${peers[0].name}-${peer.name}`),
        plugins: (dataDir) => [bridge(name, hostLocal(dataDir, subnet)), portmap],
      }),
    );
    sides.push({ runtime, warmUps: warmUpsOf(peer), add: [] as number[], del: [] as number[] });
  }
  const once = async ({ runtime }: Side, containerId: string): Promise<[number, number]> => {
    using netns = new BenchNetns(join(folder, "pod"));
    const pod = { containerId, netns: netns.path, capabilityArgs: portMapping(8080) };
    const added = await timed(() => runtime.add(pod));
    const deleted = await timed(() => runtime.del(pod));
    return [added.ms, deleted.ms];
  };
  // A host has other Pods: what the first one has made for all is there, and stays.
  for (const [index, { runtime }] of sides.entries()) {
    const { path: netns } = stack.use(new BenchNetns(join(folder, `resident-${peers[0].name}-${index}`)));
    await runtime.add({ containerId: "resident", netns, capabilityArgs: portMapping(9000 + index) });
  }
  for (const side of sides) for (let run = 0; run < side.warmUps; run += 1) await once(side, `warm-up${run}`);
  for (let run = 0; run < runs; run += 1) {
    for (const side of sides) {
      const [addMs, delMs] = await once(side, `pod${run}`);
      side.add.push(addMs);
      side.del.push(delMs);
    }
  }
  const [ours, theirs] = sides;
  if (ours === undefined || theirs === undefined) return [];
  const name = peers[0].name;
  return [
    { what: `ADD, ${name}`, unit: "ms", tripod: ours.add, upstream: theirs.add, aim },
    { what: `DEL, ${name}`, unit: "ms", tripod: ours.del, upstream: theirs.del, aim },
  ];
}
