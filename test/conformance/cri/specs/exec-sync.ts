import assert from "node:assert/strict";
import { eventually } from "../suite/eventually.ts";
import { processesWith } from "../suite/host-processes.ts";
import { topic } from "../suite/spec.ts";
import { refused } from "../suite/world.ts";

const sixteenMiB = 16 << 20;

export const execSync = topic("ExecSync", {
  async "a command's output, errors and exit code are told apart"(world) {
    const containerId = await world.run(await world.pod());
    const cmd = ["sh", "-c", "echo out; echo err >&2; exit 7"];
    const { stdout, stderr, exitCode } = await world.runtime.execSync({ containerId, cmd });
    assert.deepEqual([Buffer.from(stdout).toString(), Buffer.from(stderr).toString(), exitCode], ["out\n", "err\n", 7]);
  },
  async "a command after whose time is up is DEADLINE_EXCEEDED, and is killed with its children"(world) {
    const containerId = await world.run(await world.pod());
    const word = world.unique("late");
    const cmd = ["sh", "-c", "sh -c 'while :; do sleep 0.1; done' \"$0\" & while :; do sleep 0.1; done", word];
    const started = performance.now();
    await refused(world.runtime.execSync({ containerId, cmd, timeout: 1n }, { timeoutMs: 20_000 }), "timeout");
    const tookMs = performance.now() - started;
    assert.ok(tookMs >= 900 && tookMs < 15_000, `it took ${Math.round(tookMs)} ms`);
    await eventually("the command is gone", () => (processesWith(word).length === 0 ? true : undefined));
    assert.equal(await world.exec(containerId, "echo", "alive"), "alive");
  },
  async "a command that ends within its time is not late"(world) {
    const containerId = await world.run(await world.pod());
    const { exitCode } = await world.runtime.execSync({ containerId, cmd: ["true"], timeout: 10n });
    assert.equal(exitCode, 0);
  },
  async "a command that a signal ends has 128 and the signal's number as exit code"(world) {
    const containerId = await world.run(await world.pod());
    const { exitCode } = await world.runtime.execSync({ containerId, cmd: ["sh", "-c", "kill -KILL $$"] });
    assert.equal(exitCode, 137);
  },
  async "a command that is not there fails"(world) {
    const containerId = await world.run(await world.pod());
    const cmd = ["/there/is/no/such/command"];
    const exitCode = await world.runtime.execSync({ containerId, cmd }).then(
      (reply) => reply.exitCode,
      (error: unknown) => (assert.match(String(error), /no such file|not found/i), 127),
    );
    assert.ok(exitCode === 126 || exitCode === 127, `it ended with ${exitCode}`);
  },
  async "no command at all is refused"(world) {
    const containerId = await world.run(await world.pod());
    await refused(world.runtime.execSync({ containerId, cmd: [] }));
  },
  async "a container that does not run takes no command"(world) {
    const created = await world.create(await world.pod());
    await refused(world.runtime.execSync({ containerId: created, cmd: ["true"] }));
    const ended = await world.shell(await world.pod(), "exit 0");
    await world.exited(ended);
    await refused(world.runtime.execSync({ containerId: ended, cmd: ["true"] }));
  },
  async "a command has the container's user, environment and working folder"(world) {
    const envs = [{ key: "OWN", value: new TextEncoder().encode("of the container") }];
    const linux = { securityContext: { runAsUser: { value: 1001n } } };
    const id = await world.run(await world.pod(), { envs, workingDir: "/tmp", linux });
    assert.equal(await world.exec(id, "sh", "-c", "echo $(id -u) $OWN $PWD"), "1001 of the container /tmp");
  },
  async "a megabyte of output comes whole"(world) {
    const containerId = await world.run(await world.pod());
    const cmd = ["sh", "-c", "head -c 1000000 /dev/zero; head -c 1000 /dev/zero >&2"];
    const { stdout, stderr } = await world.runtime.execSync({ containerId, cmd });
    assert.deepEqual([stdout.length, stderr.length], [1_000_000, 1000]);
  },
  async "output beyond 16 MiB is left out and does not stop the command"(world) {
    const containerId = await world.run(await world.pod());
    const cmd = ["sh", "-c", "head -c 20000000 /dev/zero; echo done >&2; exit 5"];
    const { stdout, stderr, exitCode } = await world.runtime.execSync({ containerId, cmd });
    assert.ok(stdout.length <= sixteenMiB, `there are ${stdout.length} bytes`);
    assert.deepEqual([Buffer.from(stderr).toString(), exitCode], ["done\n", 5]);
  },
  async "a background process that keeps the output open does not keep the answer"(world) {
    const containerId = await world.run(await world.pod());
    const cmd = ["sh", "-c", "sleep 5 & echo answer"];
    const started = performance.now();
    const { stdout } = await world.runtime.execSync({ containerId, cmd }, { timeoutMs: 30_000 });
    assert.equal(Buffer.from(stdout).toString(), "answer\n");
    assert.ok(performance.now() - started < 30_000);
  },
  async "many commands at once each get their own answer"(world) {
    const containerId = await world.run(await world.pod());
    const numbers = Array.from({ length: 12 }, (_, n) => String(n));
    const answers = await Promise.all(numbers.map((n) => world.exec(containerId, "echo", n)));
    assert.deepEqual(answers, numbers);
  },
});
