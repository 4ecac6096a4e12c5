import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { before, test, type TestContext } from "node:test";
import { cgroupExists, processIsRunning } from "@tripod/linux";
import type { CheckpointingRuntime, CheckpointNeeds, LowLevelRuntime } from "../low-level-runtime.ts";
import { type MakeRuntime, runtimeSubject } from "./runtime-subject.ts";

const plain: CheckpointNeeds = { leaveRunning: false, whilePaused: false };
const streams = { terminal: false, stdin: true, stdinOnce: false };

/**
 * What every LowLevelRuntime must do that makes checkpoints, as tests on the real kernel; they are skipped with what the runtime says that
 * this machine lacks. Needs root and a static busybox at /bin/busybox.
 */
export function checkpointSuite(name: string, makeRuntime: MakeRuntime): void {
  const { prepare, exitCode, made } = runtimeSubject(makeRuntime);
  let runtime: LowLevelRuntime;
  before(() => {
    runtime = made();
  });

  /** The checkpoints, unless the test is skipped. */
  const able = async (
    t: TestContext,
    needs: Partial<CheckpointNeeds> = {},
  ): Promise<CheckpointingRuntime | undefined> => {
    const { checkpoints } = runtime;
    const why =
      checkpoints === undefined ? "it makes no checkpoints" : await checkpoints.problem({ ...plain, ...needs });
    if (why !== undefined) t.skip(why);
    return why === undefined ? checkpoints : undefined;
  };
  const folders = (bundle: string) => {
    const made = { imagesDir: join(bundle, "images"), workDir: join(bundle, "work") };
    for (const folder of Object.values(made)) mkdirSync(folder);
    return made;
  };
  const counting = ["/bin/sh", "-c", "n=0; while read line; do n=$((n+1)); echo $n $line; done"];
  /** What the program answers to a line. */
  const ask = async (bundle: string, line: string): Promise<string> => {
    const stdin = new PassThrough();
    const stdout = new PassThrough();
    const abort = new AbortController();
    const attached = runtime.attach(bundle, { stdin, stdout, signal: abort.signal });
    stdin.write(`${line}\n`);
    const [answer] = (await once(stdout, "data")) as [Buffer]; // a stream without an encoding
    abort.abort();
    await attached;
    return answer.toString().trim();
  };

  for (const leaveRunning of [true, false]) {
    const what = leaveRunning ? "goes on, and so does what is made of its checkpoint" : "goes on in another one";
    test(`${name}: a container that is checkpointed ${what}`, async (t) => {
      const checkpoints = await able(t, { leaveRunning });
      if (checkpoints === undefined) return;
      const first = prepare(counting);
      const { pid } = await runtime.create({ ...first, ...streams });
      await runtime.start(first.id, pid);
      assert.equal(await ask(first.bundle, "a"), "1 a");
      const { imagesDir, workDir } = folders(first.bundle);
      await checkpoints.checkpoint(first.id, { imagesDir, workDir, leaveRunning });
      if (leaveRunning) assert.equal(await ask(first.bundle, "b"), "2 b");
      else await exitCode(first.id);
      const second = prepare(counting);
      const logPath = join(second.bundle, "container.log");
      const restored = await checkpoints.restore({ ...second, ...streams, logPath }, imagesDir);
      assert.equal(await runtime.isStarted(second.id), true);
      assert.equal(await ask(second.bundle, "c"), "2 c");
      assert.match(readFileSync(logPath, "utf8"), / stdout F 2 c$/m);
      assert.ok(processIsRunning(restored.pid));
      await runtime.delete(first);
      await runtime.delete(second);
      assert.equal(processIsRunning(restored.pid), false);
    });
  }

  test(`${name}: a paused container, checkpointed or not, stands still until it is resumed; each may be asked again`, async (t) => {
    const checkpoints = await able(t, { leaveRunning: true, whilePaused: true });
    if (checkpoints === undefined) return;
    const container = prepare(counting);
    const { pid } = await runtime.create({ ...container, ...streams });
    await runtime.start(container.id, pid);
    assert.equal(await ask(container.bundle, "a"), "1 a");
    await checkpoints.pause(container.id);
    await checkpoints.pause(container.id);
    let resumed = false;
    const answered = ask(container.bundle, "b").then((answer) => ({ answer, resumed }));
    await checkpoints.checkpoint(container.id, { ...folders(container.bundle), leaveRunning: true });
    resumed = true;
    await checkpoints.resume(container.id);
    await checkpoints.resume(container.id);
    assert.deepEqual(await answered, { answer: "2 b", resumed: true });
    await runtime.delete(container);
  });

  test(`${name}: what is no checkpoint is not restored, and leaves nothing`, async (t) => {
    const checkpoints = await able(t);
    if (checkpoints === undefined) return;
    const container = prepare(counting);
    const { imagesDir } = folders(container.bundle);
    await assert.rejects(checkpoints.restore({ ...container, ...streams }, imagesDir), { code: "failed-precondition" });
    await runtime.delete(container);
    assert.equal(cgroupExists(container.cgroupsPath), false);
  });

  test(`${name}: what does not run is not checkpointed, and the runtime says why`, async (t) => {
    const checkpoints = await able(t);
    if (checkpoints === undefined) return;
    const { bundle } = prepare(counting);
    await assert.rejects(checkpoints.checkpoint("absent", { ...folders(bundle), leaveRunning: true }), {
      code: "failed-precondition",
      message: /absent/,
    });
  });
}
