import assert from "node:assert/strict";
import { test } from "node:test";
import { AsyncQueue } from "./async-queue.ts";
import { Backoff } from "./backoff.ts";
import { codeOf, isTripodError, messageOf, TripodError } from "./error.ts";
import { KeyedMutex } from "./keyed-mutex.ts";
import { layoutOf } from "./layout.ts";
import { Limiter } from "./limiter.ts";
import { silentLogger } from "./silent-logger.ts";
import { TaskOwner } from "./task-owner.ts";

test("KeyedMutex runs one key in order and other keys beside it", async () => {
  const mutex = new KeyedMutex();
  const seen: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = mutex.run("a", async () => {
    await gate.promise;
    seen.push("a1");
  });
  const failing = mutex.run("a", async () => {
    seen.push("a2");
    throw new Error("no");
  });
  const third = mutex.run("a", async () => seen.push("a3"));
  await mutex.run("b", async () => seen.push("b"));
  gate.resolve();
  await assert.rejects(failing, /no/);
  await Promise.all([first, third]);
  assert.deepEqual(seen, ["b", "a1", "a2", "a3"]);
  assert.equal(mutex.size, 0);
});

test("Limiter never runs more than its limit, and frees a place after a failure", async () => {
  const limiter = new Limiter(2);
  let running = 0;
  let most = 0;
  const work = async (): Promise<void> => {
    running += 1;
    most = Math.max(most, running);
    await new Promise(setImmediate);
    running -= 1;
    throw new Error("no");
  };
  await Promise.allSettled(Array.from({ length: 10 }, () => limiter.run(work)));
  assert.equal(most, 2);
});

test("AsyncQueue yields in order, then ends or throws", async () => {
  const queue = new AsyncQueue<number>();
  queue.push(1);
  setImmediate(() => {
    queue.push(2);
    queue.close();
    queue.push(3);
  });
  assert.deepEqual(await Array.fromAsync(queue), [1, 2]);
  const bounded = new AsyncQueue<number>(1);
  bounded.push(1);
  bounded.push(2);
  await assert.rejects(Array.fromAsync(bounded), (error) => isTripodError(error, "exhausted"));
});

test("TaskOwner.stop aborts what runs and waits for it", async () => {
  const owner = new TaskOwner("test", silentLogger);
  let ended = false;
  owner.run("wait", async (signal) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    await new Promise(setImmediate);
    ended = true;
  });
  await owner.stop();
  assert.equal(ended, true);
});

test("Backoff grows to its limit and starts again after a reset", () => {
  const backoff = new Backoff({ initialMs: 10, maxMs: 50 });
  assert.deepEqual([backoff.next(), backoff.next(), backoff.next(), backoff.next()], [10, 20, 40, 50]);
  backoff.reset();
  assert.equal(backoff.next(), 10);
});

test("codes and messages of any thrown value", () => {
  assert.equal(codeOf(new TripodError("exhausted", "x")), "exhausted");
  assert.equal(codeOf(AbortSignal.abort().reason), "cancelled");
  assert.equal(codeOf("text"), "internal");
  assert.equal(messageOf(new AggregateError([new Error("a"), "b"], "both")), "both: a; b");
});

test("two roots share no path, and the system-wide layout has the standard ones", () => {
  const [a, b] = [layoutOf("/tmp/a"), layoutOf("/tmp/b")];
  for (const key of ["criSocket", "kubeletDir", "cniConfDir", "cgroupParent", "bridge", "kubeconfig"] as const)
    assert.notEqual(a[key], b[key]);
  assert.ok(a.bridge.length <= 15);
  const system = layoutOf();
  assert.equal(system.criSocket, "/run/tripod/tripod.sock");
  assert.equal(system.cniConfDir, "/etc/cni/net.d");
  assert.equal(system.kubeletDir, "/var/lib/kubelet");
});
