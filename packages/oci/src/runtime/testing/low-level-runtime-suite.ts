import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { before, test } from "node:test";
import { cgroupExists, cgroupStats, processIsRunning } from "@tripod/linux";
import type { LowLevelRuntime } from "../low-level-runtime.ts";
import { type MakeRuntime, runtimeSubject } from "./runtime-subject.ts";

/** What the suite has to know of a runtime. */
export interface RuntimeTraits {
  /** The container's programs are processes of this kernel; true unless told. */
  readonly sharesKernel?: boolean;
  /** How often what is a matter of chance is tried; 8 unless told. */
  readonly rounds?: number;
  /** Why limits cannot be changed, as the runtime itself says; none unless told. */
  readonly cannotUpdate?: string | undefined;
}

/** The processes with `text` in their command line. */
const processesNaming = (text: string): string[] =>
  readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, "utf8").includes(text);
    } catch {
      return false; // it ended since readdir
    }
  });

/** What every LowLevelRuntime must do, as tests on the real kernel. Needs root and a static busybox at /bin/busybox. */
export function lowLevelRuntimeSuite(name: string, makeRuntime: MakeRuntime, traits: RuntimeTraits = {}): void {
  const { sharesKernel = true, rounds = 8, cannotUpdate } = traits;
  const { prepare, create, exitCode, made } = runtimeSubject(makeRuntime);
  let runtime: LowLevelRuntime;
  before(() => {
    runtime = made();
  });

  test(`${name}: a container waits until it is started, logs, and leaves its exit code`, async () => {
    const container = await create("echo out; echo err >&2; exit 6");
    assert.ok(processIsRunning(container.pid));
    assert.equal(await runtime.isStarted(container.id), false);
    await runtime.start(container.id, container.pid);
    assert.equal(await runtime.isStarted(container.id), true);
    assert.equal(await exitCode(container.id), "6");
    const log = readFileSync(container.logPath, "utf8");
    assert.match(log, /^\d{4}-\d\d-\d\dT[^ ]+ stdout F out$/m);
    assert.match(log, / stderr F err$/m);
    await assert.rejects(runtime.start(container.id, container.pid));
    await runtime.delete(container);
  });

  test(`${name}: a program that ends at once has been started`, async () => {
    for (let round = 0; round < rounds; round++) {
      const container = await create("exit 0");
      await runtime.start(container.id, container.pid);
      assert.equal(await exitCode(container.id), "0");
      await runtime.delete(container);
    }
  });

  test(`${name}: once start has resolved, the program itself runs`, async () => {
    for (let round = 0; round < rounds; round++) {
      const container = await create("/bin/busybox sleep 1000");
      await runtime.start(container.id, container.pid);
      if (sharesKernel) assert.match(readlinkSync(`/proc/${container.pid}/exe`), /^\/bin\/(sh|busybox)$/);
      else assert.equal(await runtime.isStarted(container.id), true);
      await runtime.delete(container);
    }
  });

  test(`${name}: a created container whose process was killed is not started, and start says so`, async () => {
    const container = await create("exit 0");
    process.kill(container.pid, "SIGKILL");
    await assert.rejects(runtime.start(container.id, container.pid), /has died/);
    await runtime.delete(container);
  });

  test(`${name}: a program that is not there is an error in the runtime's words, and nothing is left`, async () => {
    const container = prepare(["/bin/absent"]);
    const request = { ...container, terminal: false, stdin: false, stdinOnce: false };
    const run = async (): Promise<void> => {
      const { pid } = await runtime.create(request);
      await runtime.start(container.id, pid);
    };
    await assert.rejects(run, /\/bin\/absent/);
    await runtime.delete(container);
    assert.equal(cgroupExists(container.cgroupsPath), false);
  });

  test(`${name}: create waits for its bundle; one that does not come is its error, and no process is left`, async () => {
    const container = prepare(["/bin/sh", "-c", "exit 3"]);
    const config = join(container.bundle, "config.json");
    const text = readFileSync(config);
    rmSync(config);
    const request = { ...container, terminal: false, stdin: false, stdinOnce: false };
    await assert.rejects(runtime.create({ ...request, ready: Promise.reject(new Error("no room")) }), /no room/);
    assert.deepEqual(processesNaming(container.id), []);
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const making = runtime.create({ ...request, ready });
    writeFileSync(config, text);
    resolve();
    await runtime.start(container.id, (await making).pid);
    assert.equal(await exitCode(container.id), "3");
    await runtime.delete(container);
  });

  test(`${name}: exec runs beside the program, with streams and exit code; a wrong one says why; an abort kills`, async () => {
    const container = await create("while :; do /bin/busybox sleep 1; done");
    await runtime.start(container.id, container.pid);
    const stdin = new PassThrough();
    const stdout = new PassThrough();
    const { bundle } = container;
    stdin.end("fed");
    const output = text(stdout);
    const args = ["/bin/sh", "-c", "/bin/busybox cat; exit 4"];
    const { exitCode: code } = await runtime.exec(container.id, { args, terminal: false, bundle, stdin, stdout });
    stdout.end();
    assert.equal(code, 4);
    assert.equal(await output, "fed");
    await assert.rejects(runtime.exec(container.id, { args: ["/bin/none"], terminal: false, bundle }), /\/bin\/none/);
    const abort = new AbortController();
    const started = new PassThrough();
    started.once("data", () => abort.abort());
    const endless = ["/bin/sh", "-c", "echo on; /bin/busybox sleep 1000"];
    await assert.rejects(
      runtime.exec(container.id, { args: endless, terminal: false, bundle, stdout: started, signal: abort.signal }),
    );
    // One that got away from the process which is killed, and holds its output open, is not waited for.
    const orphan = "(/bin/busybox setsid /bin/busybox sleep 1000 &); echo on; /bin/busybox sleep 1000";
    const again = new AbortController();
    const opened = new PassThrough();
    opened.once("data", () => again.abort());
    await assert.rejects(
      runtime.exec(container.id, {
        args: ["/bin/sh", "-c", orphan],
        terminal: false,
        bundle,
        stdout: opened,
        signal: again.signal,
      }),
    );
    const listing = new PassThrough();
    const listed = text(listing);
    // The container's first process reaps nobody: a zombie left to it would stay. One whose parent, 0, is outside is the machine's init's.
    const inside = ["/bin/busybox", "sh", "-c", "cat /proc/[0-9]*/stat"];
    await runtime.exec(container.id, { args: inside, terminal: false, bundle, stdout: listing });
    listing.end();
    assert.doesNotMatch(await listed, /\) Z [1-9]/);
    await runtime.delete(container);
  });

  test(`${name}: attach reaches the program's own streams`, async () => {
    const container = await create("while read line; do echo got $line; done; echo bye");
    await runtime.start(container.id, container.pid);
    const stdin = new PassThrough();
    const stdout = new PassThrough();
    const output = text(stdout);
    const attached = runtime.attach(container.bundle, { stdin, stdout });
    stdin.end("a\nb\n");
    await attached;
    stdout.end();
    assert.equal(await output, "got a\ngot b\nbye\n");
    await runtime.delete(container);
  });

  test(`${name}: update changes a limit`, { skip: cannotUpdate ?? false }, async () => {
    const container = await create("/bin/busybox sleep 1000");
    await runtime.start(container.id, container.pid);
    await runtime.update(container.id, { memory: { limit: 64 * 1024 * 1024 } });
    assert.equal(cgroupStats(container.cgroupsPath).memory?.limitBytes, 64 * 1024 * 1024);
    await runtime.delete(container);
  });

  test(`${name}: delete ends what lives, and succeeds on what is gone`, async () => {
    const container = await create("/bin/busybox sleep 1000");
    await runtime.start(container.id, container.pid);
    await runtime.delete(container);
    assert.equal(processIsRunning(container.pid), false);
    assert.equal(processIsRunning(container.supervisorPid), false);
    assert.equal(cgroupExists(container.cgroupsPath), false);
    await runtime.delete(container);
  });
}
