import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { isNodeError } from "@tripod/base";
import { seededRandom } from "@tripod/testing";
import { PodStorm } from "./testing/pod-storm.ts";
import { supervisedProcesses } from "./testing/supervised-processes.ts";
import { startTestNode, type TestNode } from "./testing/test-node.ts";

// TRIPOD_CRASH_SEED=N repeats a run's choices, TRIPOD_CRASH_KILLS=N makes it longer.
const seed = Number(process.env.TRIPOD_CRASH_SEED ?? randomInt(1, 2 ** 31));
const wantedKills = Number(process.env.TRIPOD_CRASH_KILLS ?? 200);
/** Supervisors, and as many runtimes, killed in one life of the server. */
const killsPerLife = 6;

let node: TestNode;
before(async () => {
  node = await startTestNode({ ownProcess: true });
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
});

const random = seededRandom(seed);

/** Kills one process of the kind as soon as there is one; a runtime lives for milliseconds only, and is caught at any of them. */
async function killOne(storm: PodStorm, kind: "conmon" | "runc"): Promise<void> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const found = supervisedProcesses(node.layout.root ?? "").filter((candidate) => candidate.kind === kind);
    if (found.length > 0) {
      const running = found.filter(({ containerId }) => storm.running().includes(containerId));
      const victim = random.pick(running.length > 0 && random.next() < 0.5 ? running : found);
      if (kind === "runc") await delay(random.below(8));
      else storm.supervisorDies(victim.containerId);
      try {
        process.kill(victim.pid, "SIGKILL");
        return;
      } catch (error) {
        if (!isNodeError(error, "ESRCH")) throw error; // it was faster
      }
    }
    assert.ok(performance.now() < deadline, `no ${kind} came to be killed in 20 s (seed ${seed})`);
    await delay(1);
  }
}

/** What is still there once the kernel, which takes its time over a dead namespace, is done; [] when nothing is. */
async function leaksAtLast(): Promise<string[]> {
  const deadline = performance.now() + 5000;
  for (;;) {
    const addresses = readdirSync(node.layout.cniDataDir, { recursive: true, encoding: "utf8" })
      .filter((name) => /(^|\/)\d+\.\d+\.\d+\.\d+$/.test(name))
      .map((name) => `address ${name}`);
    const left = [...node.leaks(), ...addresses];
    if (left.length === 0 || performance.now() > deadline) return left;
    await delay(20);
  }
}

test(`${wantedKills} kills of server, supervisors and runtimes lose and leave nothing`, {
  timeout: 280_000,
}, async (t) => {
  t.diagnostic(`TRIPOD_CRASH_SEED=${seed}`);
  const storm = new PodStorm(node, { random, pods: 4 });
  const kills = { server: 0, conmon: 0, runc: 0 };
  for (let life = 1; kills.server + kills.conmon + kills.runc < wantedKills; life += 1) {
    const where = `seed ${seed}, life ${life}`;
    const calm = new AbortController();
    const raging = storm.rage(calm.signal);
    raging.catch(() => calm.abort()); // awaited below
    for (let round = 0; round < killsPerLife && !calm.signal.aborted; round += 1) {
      for (const kind of ["conmon", "runc"] as const) {
        await delay(random.below(200));
        await Promise.race([killOne(storm, kind), raging]);
        kills[kind] += 1;
      }
    }
    await delay(random.below(100));
    await node.kill();
    kills.server += 1;
    await raging;
    await node.start();
    await storm.checkTruth(where);
  }
  t.diagnostic(`killed: ${JSON.stringify(kills)} in ${storm.operations} operations`);
  for (const [message, count] of storm.failures) t.diagnostic(`${count} x ${message}`);
  await storm.settle();
  assert.deepEqual(await leaksAtLast(), [], `seed ${seed}`);
  assert.ok(existsSync(join(node.layout.cniDataDir)));
});
