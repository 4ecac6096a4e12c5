import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync } from "node:fs";
import { eventually } from "../suite/eventually.ts";
import { parseLog, streamOf } from "../suite/log-line.ts";
import { topic } from "../suite/spec.ts";

export const logs = topic("logs", {
  async "each line of standard output and standard error is a line of the log"(world) {
    const id = await world.shell(await world.pod(), "echo one; echo two >&2; echo three");
    await world.exited(id);
    const lines = await world.log(id);
    assert.deepEqual(
      lines.filter(({ stream }) => stream === "stdout").map(({ text }) => text),
      ["one", "three"],
    );
    assert.deepEqual(
      lines.filter(({ stream }) => stream === "stderr").map(({ text }) => text),
      ["two"],
    );
    assert.ok(lines.every(({ whole }) => whole));
  },
  async "all that a short program has said is in the log when it has ended"(world) {
    const pod = await world.pod();
    for (let n = 0; n < 5; n += 1) {
      const id = await world.shell(pod, "for i in $(seq 200); do echo $i; done");
      await world.exited(id);
      assert.equal((await world.log(id)).length, 200);
    }
  },
  async "a long line is cut into parts, all but the last marked as partial"(world) {
    const id = await world.shell(await world.pod(), "head -c 100000 /dev/zero | tr '\\0' x; echo; echo after");
    await world.exited(id);
    const lines = await world.log(id);
    assert.equal(streamOf(lines, "stdout"), `${"x".repeat(100_000)}\nafter\n`);
    assert.ok(lines.length > 2, "it is one line");
  },
  async "what stands after the last line end is in the log too"(world) {
    const id = await world.shell(await world.pod(), "printf 'no end'");
    await world.exited(id);
    assert.equal((await world.log(id)).map(({ text }) => text).join(""), "no end");
  },
  async "any bytes but line ends come through unaltered"(world) {
    const script = 'i=0; while [ $i -lt 256 ]; do [ $i = 10 ] || printf "\\\\$(printf %o $i)"; i=$((i+1)); done; echo';
    const id = await world.shell(await world.pod(), script);
    await world.exited(id);
    const bytes = Buffer.from(streamOf(await world.log(id), "stdout"), "latin1");
    const expected = Buffer.from([...Array(256).keys()].filter((byte) => byte !== 10).concat(10));
    assert.ok(bytes.equals(expected), `they are ${bytes.toString("hex")}`);
  },
  async "a megabyte comes through whole and in order"(world) {
    const script = "yes 'a line of the megabyte' | head -c 1000000 | tee /dev/stderr | md5sum >/tmp/sum; cat /tmp/sum";
    const id = await world.shell(await world.pod(), script);
    await world.exited(id);
    const lines = await world.log(id);
    const errors = streamOf(lines, "stderr");
    const sum = createHash("md5").update(errors.slice(0, 1_000_000), "latin1").digest("hex");
    assert.equal(lines.find(({ stream }) => stream === "stdout")?.text.split(" ")[0], sum);
  },
  async "a terminal's output is all of standard output"(world) {
    const id = await world.shell(await world.pod(), "echo out; echo err >&2", { tty: true });
    await world.exited(id);
    const lines = await world.log(id);
    assert.ok(lines.every(({ stream }) => stream === "stdout"));
    assert.deepEqual(
      lines.map(({ text }) => text.trim()),
      ["out", "err"],
    );
  },
  async "the log of a removed container stays"(world) {
    const id = await world.shell(await world.pod(), "echo kept");
    const { logPath } = await world.exited(id);
    await world.runtime.removeContainer({ containerId: id });
    assert.equal(parseLog(readFileSync(logPath))[0]?.text, "kept");
  },
  async "a container without a log path runs all the same"(world) {
    const id = await world.shell(await world.pod(), "echo nowhere; exit 4", { logPath: "" });
    assert.equal((await world.exited(id)).exitCode, 4);
  },
  async "after ReopenContainerLog what follows is in a new file, and nothing is lost"(world) {
    const id = await world.shell(await world.pod(), "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done");
    const { logPath } = await world.status(id);
    const some = (): true | undefined => (existsSync(logPath) && readFileSync(logPath).length > 100 ? true : undefined);
    await eventually("the log begins", some);
    renameSync(logPath, `${logPath}.1`);
    await world.runtime.reopenContainerLog({ containerId: id });
    await eventually("the new log begins", some);
    await world.runtime.stopContainer({ containerId: id, timeout: 0n });
    await world.exited(id);
    const lines = [...parseLog(readFileSync(`${logPath}.1`)), ...parseLog(readFileSync(logPath))];
    assert.deepEqual(
      lines.map(({ text }) => Number(text)),
      lines.map((_, index) => index),
    );
  },
  async "ReopenContainerLog of a container that has ended is refused, or makes the file"(world) {
    const id = await world.shell(await world.pod(), "echo end");
    const { logPath } = await world.exited(id);
    renameSync(logPath, `${logPath}.1`);
    const reopened = await world.runtime.reopenContainerLog({ containerId: id }).then(
      () => true,
      () => false,
    );
    assert.equal(existsSync(logPath), reopened);
  },
});
