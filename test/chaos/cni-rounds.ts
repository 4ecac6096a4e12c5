import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { silentLogger } from "@tripod/base";
import { CniRuntime, defaultConflist } from "@tripod/cni";
import { nft, openRtnetlink } from "@tripod/linux";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";
import { installPlugins, ownPlugins } from "@tripod/plugin-bundle";
import { seededRandom } from "@tripod/testing";

/** What the process is to do with a container. */
export interface CniOrder {
  readonly slot: number;
  readonly command: "ADD" | "DEL";
  readonly containerId: string;
  readonly netns: string;
  readonly hostPort: number;
}

export interface CniReply {
  readonly slot: number;
  readonly addresses: readonly string[];
  readonly error?: string;
}

export interface CniRoundsOptions {
  readonly seed: number;
  /** How many ADD and DEL are to be carried out to their end. */
  readonly operations: number;
  /** Plugins as executables, instead of in the process that is killed. */
  readonly executables: boolean;
  readonly parallel?: number;
}

interface Slot {
  readonly netns: FreshNetns;
  /** "unknown": the process was killed in the middle. */
  state: "free" | "attached" | "busy" | "unknown";
  /** How many containers it has had. */
  generation: number;
  addresses: readonly string[];
}

/**
 * Attaches and detaches containers in random order, so many at once, while the process that does it is killed again and again; what was cut
 * off is detached and goes on. No two attached containers ever have one address, whatever is asked succeeds, and after a last DEL of all there
 * is neither link, address, rule nor record. To be called on a fresh host.
 */
export async function cniRounds({ seed, operations, executables, parallel = 16 }: CniRoundsOptions): Promise<{
  readonly operations: number;
  readonly kills: number;
  readonly cutOff: number;
}> {
  const random = seededRandom(seed);
  using folder = new TemporaryFolder("cni-chaos");
  mkdirSync(folder.join("net.d"));
  const dataDir = folder.join("networks");
  const conflist = defaultConflist({
    bridge: "br-chaos",
    subnet: ["10.99.0.0/24", "fd99::/64"],
    dataDir,
    bandwidth: true,
  });
  writeFileSync(folder.join("net.d", "10-chaos.conflist"), JSON.stringify(conflist));
  if (executables) await installPlugins(folder.join("bin"));
  const slots = Array.from(
    { length: parallel },
    (): Slot => ({ netns: new FreshNetns(), state: "free", generation: 0, addresses: [] }),
  );
  const containerOf = (slot: number): string => `c${slot}-${slots[slot]?.generation ?? 0}`;
  let [done, kills, cutOff] = [0, 0, 0];

  const takeReply = (reply: CniReply): void => {
    const slot = slots[reply.slot];
    assert.ok(slot !== undefined);
    assert.equal(reply.error, undefined, `seed ${seed}, ${containerOf(reply.slot)}: ${reply.error}`);
    done += 1;
    if (reply.addresses.length === 0) {
      slot.generation += 1;
      slot.state = "free";
    } else {
      const taken = slots.filter(({ state }) => state === "attached").flatMap(({ addresses }) => addresses);
      for (const address of reply.addresses)
        assert.ok(!taken.includes(address), `seed ${seed}: ${address} is given twice`);
      slot.state = "attached";
    }
    slot.addresses = reply.addresses;
  };

  /** One life of the process: orders for every slot that is not busy, until it is killed. */
  const live = async (): Promise<void> => {
    const program = new URL("cni-process.ts", import.meta.url).pathname;
    // In a PID namespace of its own, with which the plugins end that it has started.
    const unshare = ["--pid", "--fork", "--kill-child", process.execPath, ...process.execArgv];
    const child: ChildProcess = spawn(
      "unshare",
      [...unshare, program, folder.path, executables ? "executables" : "own"],
      {
        stdio: ["pipe", "pipe", "inherit"],
        env: { ...process.env, NODE_TEST_CONTEXT: undefined },
      },
    );
    const { stdin, stdout } = child;
    assert.ok(stdin !== null && stdout !== null);
    stdin.on("error", () => {}); // it is being killed
    const order = (index: number): void => {
      const slot = slots[index];
      if (slot === undefined || slot.state === "busy") return;
      const command = slot.state === "free" ? "ADD" : "DEL";
      slot.state = "busy";
      const wanted: CniOrder = {
        slot: index,
        command,
        containerId: containerOf(index),
        netns: slot.netns.path,
        hostPort: 9000 + index,
      };
      stdin.write(`${JSON.stringify(wanted)}\n`);
    };
    let left = 1 + random.below(4 * parallel);
    const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
    let failure: unknown;
    for (const index of slots.keys()) order(index);
    for await (const line of createInterface({ input: stdout })) {
      try {
        const reply = JSON.parse(line) as CniReply; // cni-process.ts writes them
        takeReply(reply);
        left -= 1;
        if (left === 0) void delay(random.below(20)).then(() => child.kill("SIGKILL")); // in the middle of what is under way
        if (done < operations) order(reply.slot);
      } catch (error) {
        failure ??= error;
        child.kill("SIGKILL");
      }
      if (done >= operations && left > 0 && slots.every(({ state }) => state !== "busy")) child.kill("SIGKILL");
    }
    await ended;
    if (failure !== undefined) throw failure;
    kills += 1;
    for (const slot of slots.filter(({ state }) => state === "busy")) {
      cutOff += 1;
      slot.state = "unknown";
      slot.addresses = [];
    }
  };

  try {
    while (done < operations) await live();
    await using runtime = new CniRuntime({
      confDir: folder.join("net.d"),
      binDirs: [folder.join("bin")],
      cacheDir: folder.join("cache"),
      ...(executables ? {} : { plugins: ownPlugins }),
      log: silentLogger,
    });
    await runtime.load();
    for (const [index, { netns }] of slots.entries())
      await runtime.del({ containerId: containerOf(index), netns: netns.path });
    assert.deepEqual(readdirSync(folder.join("cache", "results")), []);
    assert.equal(nft("list ruleset"), "", `seed ${seed}`);
    using host = openRtnetlink();
    assert.ok(host.linkDelete("br-chaos"));
    assert.deepEqual(
      host.links().map(({ name }) => name),
      ["lo"],
      `seed ${seed}`,
    );
    const files = existsSync(dataDir) ? readdirSync(dataDir, { recursive: true, encoding: "utf8" }) : [];
    assert.deepEqual(
      files.filter((path) => /\/(10\.99\.|fd99:)/.test(path)),
      [],
      `seed ${seed}`,
    );
    return { operations: done, kills, cutOff };
  } finally {
    for (const { netns } of slots) netns[Symbol.dispose]();
  }
}
