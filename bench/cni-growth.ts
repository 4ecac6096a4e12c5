import { join } from "node:path";
import type { Attachment, CniRuntime } from "@tripod/cni";
import { bridge, BenchNetns, clearHost, type CniPeer, hostLocal, portmap, portMapping } from "./cni-network.ts";
import { startCniNetwork, subnets } from "./cni-network.ts";
import { metOrNot, textTable } from "./comparison.ts";
import { percentile, timed } from "./statistics.ts";

export interface GrowthOptions {
  readonly folder: string;
  readonly peers: readonly CniPeer[];
  readonly pods: number;
  readonly reservations: number;
  readonly mappings: number;
  /** A peer that is slower does fewer ADDs. */
  readonly secondsEach: number;
}

export interface GrowthRow {
  readonly what: string;
  readonly peer: string;
  /** How many were asked for, and done in the time. */
  readonly asked: number;
  readonly done: number;
  /** Medians of the first and of the last ADDs. */
  readonly firstMs: number;
  readonly lastMs: number;
  readonly ratio: number;
}

/** What one ADD costs at most when many have been before it, as a ratio of the first ones. */
export const growthAim = 1.5;
/** So many ADDs are the first ones, and the last ones. */
const atEachEnd = 20;
const bridgeName = "bench-growth";
const subnet = subnets.tripod;

interface Subject extends AsyncDisposable {
  readonly runtime: CniRuntime;
  /** What the ADD of this number attaches. */
  attachment(number: number): Attachment;
}

interface Growth {
  readonly what: string;
  readonly count: number;
  start(peer: CniPeer, folder: string): Promise<Subject>;
}

const growths = (options: GrowthOptions): readonly Growth[] => [
  {
    what: "Pods on one bridge",
    count: options.pods,
    async start(peer, folder) {
      await using stack = new AsyncDisposableStack();
      const runtime = stack.use(
        await startCniNetwork({ peer, folder, plugins: (dataDir) => [bridge(bridgeName, hostLocal(dataDir, subnet))] }),
      );
      const namespaces = stack.use(new DisposableStack());
      const attachment = (number: number): Attachment => {
        const netns = namespaces.use(new BenchNetns(join(folder, "netns", String(number))));
        return { containerId: `pod${number}`, netns: netns.path };
      };
      return subjectOf(runtime, attachment, stack.move());
    },
  },
  {
    what: "reservations in host-local",
    count: options.reservations,
    async start(peer, folder) {
      await using stack = new AsyncDisposableStack();
      const runtime = stack.use(
        await startCniNetwork({ peer, folder, plugins: (dataDir) => [hostLocal(dataDir, subnet)].map(alone) }),
      );
      const { path: netns } = stack.use(new BenchNetns(join(folder, "netns")));
      return subjectOf(runtime, (number) => ({ containerId: `pod${number}`, netns }), stack.move());
    },
  },
  {
    what: "port mappings",
    count: options.mappings,
    async start(peer, folder) {
      await using stack = new AsyncDisposableStack();
      const { path: netns } = stack.use(new BenchNetns(join(folder, "netns")));
      // One Pod has an interface, by which the host's bridge has an address; the mappings lead to further addresses behind it.
      const first = stack.use(
        await startCniNetwork({
          peer,
          folder: join(folder, "first"),
          plugins: () => [bridge(bridgeName, hostLocal(join(folder, "networks"), subnet))],
        }),
      );
      await first.add({ containerId: "first", netns });
      const runtime = stack.use(
        await startCniNetwork({ peer, folder, plugins: (dataDir) => [alone(hostLocal(dataDir, subnet)), portmap] }),
      );
      return subjectOf(
        runtime,
        (number) => ({ containerId: `pod${number}`, netns, capabilityArgs: portMapping(20_000 + number) }),
        stack.move(),
      );
    },
  },
];

/** host-local as a plugin of the chain. */
const alone = (ipam: ReturnType<typeof hostLocal>) => ({ type: "host-local", ipam });

const subjectOf = (
  runtime: CniRuntime,
  attachment: (number: number) => Attachment,
  stack: AsyncDisposableStack,
): Subject => ({
  runtime,
  attachment,
  async [Symbol.asyncDispose]() {
    await stack.disposeAsync();
    clearHost(bridgeName);
  },
});

async function grow(growth: Growth, peer: CniPeer, { folder, secondsEach }: GrowthOptions): Promise<GrowthRow> {
  const where = join(folder, `growth ${growth.what} ${peer.name}`.replaceAll(" ", "-"));
  await using subject = await growth.start(peer, where);
  // What only the first calls of a process cost is not what grows.
  for (let number = 0; number < atEachEnd; number += 1) {
    const attachment = subject.attachment(growth.count + number);
    await subject.runtime.add(attachment);
    await subject.runtime.del(attachment);
  }
  const samples: number[] = [];
  const endMs = performance.now() + secondsEach * 1000;
  while (samples.length < growth.count && performance.now() < endMs) {
    const attachment = subject.attachment(samples.length);
    samples.push((await timed(() => subject.runtime.add(attachment))).ms);
  }
  const firstMs = percentile(samples.slice(0, atEachEnd), 50);
  const lastMs = percentile(samples.slice(-atEachEnd), 50);
  return {
    what: growth.what,
    peer: peer.name,
    asked: growth.count,
    done: samples.length,
    firstMs,
    lastMs,
    ratio: lastMs / firstMs,
  };
}

/** How the cost of an ADD grows with what is there already. */
export async function compareGrowth(options: GrowthOptions): Promise<GrowthRow[]> {
  const rows: GrowthRow[] = [];
  for (const growth of growths(options)) for (const peer of options.peers) rows.push(await grow(growth, peer, options));
  return rows;
}

export const growthTable = (rows: readonly GrowthRow[]): string =>
  textTable(
    ["cost of an ADD, ms", "whose", "done", "first 20", "last 20", "ratio", "aim"],
    rows.map((row) => [
      `${row.asked} ${row.what}`,
      row.peer,
      String(row.done),
      row.firstMs.toFixed(1),
      row.lastMs.toFixed(1),
      row.ratio.toFixed(2),
      row.peer === "upstream" ? "" : metOrNot(`at most ${growthAim}`, row.ratio <= growthAim),
    ]),
  );
