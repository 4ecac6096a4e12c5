import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Layout, layoutOf, silentLogger } from "@tripod/base";
import { mountInfo } from "@tripod/linux";
import { compareTrees, Images } from "@tripod/oci";
import { type SeededRandom, seededRandom, startRegistry, tempRoot } from "@tripod/testing";
import { type SmallDisk, smallDisk } from "./small-disk.ts";

export interface PullRoundsOptions {
  readonly seed: number;
  readonly rounds: number;
  /** Of each image beyond those of the one below it, some 1.3 MB together whatever their number. */
  readonly files: number;
  /** Told of each round when it has ended well. */
  readonly onRound?: (line: string) => void;
}

/** How often a pull met what. */
export interface PullTally {
  killed: number;
  full: number;
  /** Nothing happened to it: it was faster, or had room enough. */
  undisturbed: number;
}

const pullProcess = join(import.meta.dirname, "pull-process.ts");
const sources = join(import.meta.dirname, "../../packages/oci/src");

/**
 * Pulls images again and again into one store on a small disk, and each time kills the pull at some instant or lets it run out of room, or
 * both. After each the store must verify clean, file by file; the same pull must succeed, with the tree that a pull in peace gives; and
 * once everything is removed nothing may be left. Rejects with the seed and the round where that does not hold.
 */
export async function pullRounds({ seed, rounds, files, onRound }: PullRoundsOptions): Promise<PullTally> {
  await using registry = await startRegistry();
  await using root = tempRoot();
  const names = await pushImages(registry.host, { seed, files });
  const disk = await smallDisk(root.path, 96 * 1024 * 1024);
  const peace = layoutOf(join(root.path, "peace"));
  await using expected = await Images.open({ layout: peace, log: silentLogger });
  const trees = new Map<string, string>();
  for (const [index, name] of names.entries()) {
    await expected.pull(name);
    trees.set(name, (await expected.prepareRootfs(`c${index}`, name)).rootfs);
  }
  const world = { random: seededRandom(seed), disk, layout: layoutOf(join(disk.path, "node")), names, trees };
  const tally: PullTally = { killed: 0, full: 0, undisturbed: 0 };
  for (let round = 0; round < rounds; round += 1) {
    const plan = planRound(world);
    const where = `seed ${seed}, round ${round}: ${plan.says}`;
    try {
      const outcome = await pullOnce(world, plan);
      tally[outcome] += 1;
      disk.empty();
      await checkStore(world, plan);
      onRound?.(`${where}: ${outcome}`);
    } catch (error) {
      throw new Error(where, { cause: error });
    }
  }
  for (const index of names.keys()) await expected.removeRootfs(`c${index}`);
  return tally;
}

/** Three images that share layers: of two, three and three. Their content does not compress. */
async function pushImages(host: string, { seed, files }: Pick<PullRoundsOptions, "seed" | "files">): Promise<string[]> {
  const random = seededRandom(seed);
  await using root = tempRoot();
  await using images = await Images.open({ layout: root.layout, log: silentLogger });
  const build = async (name: string, from: string): Promise<string> => {
    const context = join(root.path, name);
    for (let file = 0; file < files; file += 1) {
      const folder = join(context, `${name}-${file % 4}`);
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, String(file)), randomBytes(random.below(2_600_000 / files)));
    }
    const tag = `${host}/chaos:${name}`;
    await images.build({ context, tags: [tag], spec: { from } });
    await images.push(tag);
    return tag;
  };
  const middle = await build("middle", await build("base", "scratch"));
  return [middle, await build("left", middle), await build("right", middle)];
}

interface World {
  readonly random: SeededRandom;
  readonly disk: SmallDisk;
  readonly layout: Layout;
  readonly names: readonly string[];
  readonly trees: ReadonlyMap<string, string>;
}

interface Plan {
  readonly says: string;
  readonly names: readonly string[];
  /** What the store forgets before: everything, one image, or nothing. */
  readonly forget: "all" | "one" | "none";
  readonly killAt: { readonly failpoint: string } | { readonly afterMs: number } | undefined;
  readonly freeBytes: number | undefined;
  /** Another process pulls the same beside it, in peace unless the disk is full. */
  readonly beside: boolean;
}

function planRound({ random, names }: World): Plan {
  const kind = random.pick(["kill", "kill", "failpoint", "failpoint", "full", "full", "full and kill"] as const);
  const wanted = random.below(3) === 0 ? [random.pick(names), random.pick(names)] : [random.pick(names)];
  const failpoint = `${random.pick(pullFailpoints())}@${1 + random.below(4)}`;
  const afterMs = random.below(400);
  const killAt = kind === "full" ? undefined : kind === "failpoint" ? { failpoint } : { afterMs };
  const freeBytes = kind.startsWith("full") ? random.below(9 * 1024 * 1024) : undefined;
  const forget = random.pick(["all", "all", "all", "one", "none"] as const);
  const beside = kind !== "full" && random.below(4) === 0;
  const does = [
    forget === "none" ? "" : `forget ${forget}`,
    `pull ${wanted.map((name) => name.slice(name.lastIndexOf(":") + 1)).join(" and ")}`,
    beside ? "with another process" : "",
    killAt === undefined ? "" : `kill ${"failpoint" in killAt ? `at ${failpoint}` : `after ${afterMs} ms`}`,
    freeBytes === undefined ? "" : `${freeBytes} bytes free`,
  ];
  return { says: does.filter(Boolean).join(", "), names: wanted, forget, killAt, freeBytes, beside };
}

/** The places on a pull's way at which a process may be killed, out of the sources. */
function pullFailpoints(): string[] {
  const files = readdirSync(sources, { recursive: true, encoding: "utf8" });
  const names = files
    .filter((file) => /^(content|images|snapshots)\/.*(?<!\.test)\.ts$/.test(file))
    .flatMap((file) => [...readFileSync(join(sources, file), "utf8").matchAll(/\bfailpoint\("([^"]+)"\)/g)])
    .map(([, name = ""]) => name)
    .filter((name) => /^oci\.(ingest|layer|blob\.downloaded)/.test(name));
  return [...new Set(names)].toSorted();
}

interface Puller {
  readonly child: ChildProcess;
  readonly opened: Promise<unknown>;
  readonly ended: Promise<unknown>;
  readonly said: () => string;
}

function startPull(layout: Layout, names: readonly string[], env: NodeJS.ProcessEnv = {}): Puller {
  const child = spawn(process.execPath, [pullProcess, layout.root ?? "", ...names], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  let said = "";
  child.stdout.on("data", (piece: Buffer) => (said += piece.toString()));
  return { child, opened: once(child.stdout, "data"), ended: once(child, "close"), said: () => said };
}

async function pullOnce({ layout, disk, random, names }: World, plan: Plan): Promise<keyof PullTally> {
  {
    await using images = await Images.open({ layout, log: silentLogger });
    const gone = plan.forget === "all" ? names : plan.forget === "one" ? [random.pick(names)] : [];
    for (const name of gone) if (images.get(name) !== undefined) await images.remove(name);
    await images.collectGarbage();
  }
  if (plan.freeBytes !== undefined) disk.fill(plan.freeBytes);
  const { killAt } = plan;
  const env = killAt !== undefined && "failpoint" in killAt ? { TRIPOD_FAILPOINT: killAt.failpoint } : {};
  const puller = startPull(layout, plan.names, env);
  const beside = plan.beside ? startPull(layout, plan.names) : undefined;
  if (killAt !== undefined && "afterMs" in killAt) {
    await Promise.race([puller.opened, puller.ended]);
    await Promise.race([delay(killAt.afterMs, undefined, { ref: false }), puller.ended]);
    puller.child.kill("SIGKILL");
  }
  await Promise.all([puller.ended, beside?.ended]);
  for (const each of [puller, ...(beside === undefined ? [] : [beside])]) {
    const { exitCode, signalCode } = each.child;
    assert.ok(signalCode === null || (signalCode === "SIGKILL" && each === puller), `it ended by ${signalCode}`);
    assert.equal(exitCode === 1, each.said().includes("failed"), `exit code ${exitCode}`);
    const failed = /^failed .*$/m.exec(each.said())?.[0];
    // The one error that may be is that the disk is full, in words for people.
    if (failed !== undefined) assert.match(failed, /^failed exhausted .*no room/);
    if (failed !== undefined) assert.notEqual(plan.freeBytes, undefined, failed);
  }
  if (puller.child.signalCode === "SIGKILL") return "killed";
  return puller.said().includes("failed") ? "full" : "undisturbed";
}

async function checkStore({ layout, names, trees, random }: World, plan: Plan): Promise<void> {
  {
    await using images = await Images.open({ layout, log: silentLogger });
    assert.deepEqual((await images.verify({ deep: true })).damaged, [], "right after it");
    for (const name of plan.names) {
      await images.pull(name);
      const { rootfs } = await images.prepareRootfs("c", name);
      assert.deepEqual(await compareTrees(trees.get(name) ?? "", rootfs), []);
      await images.removeRootfs("c");
    }
    assert.deepEqual((await images.verify({ deep: true })).damaged, [], "after the next pull");
    if (random.below(4) > 0) return;
    for (const name of names) if (images.get(name) !== undefined) await images.remove(name);
    await images.collectGarbage();
    assert.equal((await images.fsUsage()).bytes, 0);
  }
  // What is taken away is off the disk once the store is closed.
  const folders = ["blobs/sha256", "ingest", "locks", "tmp"].map((name) => join(layout.contentDir, name));
  for (const folder of [...folders, join(layout.snapshotsDir, "tmp")])
    assert.deepEqual(readdirSync(folder), [], folder);
  assert.deepEqual(
    mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(`${layout.root}/`)),
    [],
  );
}
