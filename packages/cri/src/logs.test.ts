import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, watch, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { ContainerState } from "@tripod/api/cri";
import { startTestNode, type TestNode } from "./testing/test-node.ts";

const maxSizeBytes = 64 * 1024;
let node: TestNode;
let sandboxId: string;

before(async () => {
  node = await startTestNode({ subnet: "10.77.40.0/24", config: { logLimit: { maxSizeBytes, maxFiles: 3 } } });
  sandboxId = (await node.runtime.runPodSandbox({ config: node.sandboxConfig() })).podSandboxId;
});
after(() => node[Symbol.asyncDispose]());

const logOf = async (containerId: string): Promise<string> =>
  (await node.runtime.containerStatus({ containerId })).status?.logPath ?? "";

/** Waits until `holds`, looking whenever something changes in the log's folder. */
async function until(path: string, holds: () => boolean): Promise<void> {
  const watcher = watch(dirname(path));
  try {
    while (!holds()) await once(watcher, "change", { signal: AbortSignal.timeout(60_000) });
  } finally {
    watcher.close();
  }
}

/** The lines of a log in CRI's format put together again, stream by stream. */
function content(text: Buffer, stream: string): Buffer {
  const parts: Buffer[] = [];
  for (let start = 0, end = text.indexOf(10); end >= 0; start = end + 1, end = text.indexOf(10, start)) {
    const line = text.subarray(start, end);
    const head = /^\S+ (stdout|stderr) ([FP]) /.exec(line.subarray(0, 64).toString("latin1"));
    assert.ok(head !== null, line.subarray(0, 64).toString("latin1"));
    if (head[1] !== stream) continue;
    parts.push(line.subarray(head[0].length), ...(head[2] === "F" ? [Buffer.from("\n")] : []));
  }
  return Buffer.concat(parts);
}

test("a line of 40,000 characters, bytes that are no text, and an end without a newline are all in the log", async () => {
  const script = `head -c 40000 /dev/zero | tr '\\0' a; echo; printf '\\000\\377\\200 \\r\\t'; echo; echo to stderr >&2; printf end`;
  const id = await node.run(sandboxId, script, { logPath: "bytes.log" });
  await node.reached(id, ContainerState.CONTAINER_EXITED);
  const path = await logOf(id);
  const files = [`${path}.2`, `${path}.1`, path].filter((file) => existsSync(file));
  const text = Buffer.concat(files.map((file) => readFileSync(file)));
  const expected = Buffer.concat([
    Buffer.alloc(40_000, "a"),
    Buffer.from("\n"),
    Buffer.from([0, 255, 128, 32, 13, 9]),
    Buffer.from("\nend"),
  ]);
  assert.ok(content(text, "stdout").subarray(0, expected.length).equals(expected));
  assert.equal(content(text, "stderr").toString(), "to stderr\n");
});

test("a log beyond its limit is moved, the newest files are kept, and no line of them is lost", async () => {
  const lines = 40_000;
  const script = `i=0; while [ $i -lt ${lines} ]; do echo "line $i"; i=$((i+1)); [ $((i % 400)) = 0 ] && usleep 20000; done; read wait`;
  const id = await node.run(sandboxId, script, { logPath: "long.log", stdin: true });
  const path = await logOf(id);
  const last = `line ${lines - 1}`;
  const files = (): string[] => [`${path}.2`, `${path}.1`, path].filter((file) => existsSync(file));
  await until(path, () => files().some((file) => readFileSync(file, "utf8").includes(`${last}\n`)));
  assert.equal(files().length, 3);
  assert.equal(existsSync(`${path}.3`), false);
  const numbers = content(Buffer.concat(files().map((file) => readFileSync(file))), "stdout")
    .toString()
    .trim()
    .split("\n")
    .slice(1) // the oldest file may begin in the middle of a line
    .map((line) => Number(line.slice("line ".length)));
  for (const [index, number] of numbers.entries()) assert.equal(number, lines - numbers.length + index);
  assert.ok(numbers.length < lines, "the oldest lines are gone");
  await node.runtime.removeContainer({ containerId: id });
});

test("a log that somebody else moves is followed at its own place", async () => {
  const id = await node.run(sandboxId, "echo before; read go; echo after; read go", {
    logPath: "moved.log",
    stdin: true,
  });
  const path = await logOf(id);
  await until(path, () => existsSync(path) && statSync(path).size > 0);
  renameSync(path, `${path}.20260101-000000`);
  await until(path, () => existsSync(path));
  assert.match(readFileSync(`${path}.20260101-000000`, "utf8"), /before/);
  await node.runtime.removeContainer({ containerId: id });
});

test("killed between moving a log and reopening it, the server loses no line, and goes on with a new file", async () => {
  await using other = await startTestNode({
    ownProcess: true,
    subnet: "10.77.41.0/24",
    config: { logLimit: { maxSizeBytes, maxFiles: 50 } },
  });
  await other.kill();
  await other.start("cri.log.moved");
  const { podSandboxId } = await other.runtime.runPodSandbox({ config: other.sandboxConfig() });
  const signals = join(other.layout.root ?? "", "signals");
  mkdirSync(signals);
  const lines = (until: string, end: number): string =>
    `while ! [ -e /signals/${until} ]; do usleep 10000; done; while [ $i -lt ${end} ]; do echo line $i; i=$((i+1)); done`;
  const id = await other.run(podSandboxId, `i=0; ${lines("first", 9000)}; ${lines("second", 9100)}; sleep 1000`, {
    mounts: [{ hostPath: signals, containerPath: "/signals" }],
  });
  const path = (await other.runtime.containerStatus({ containerId: id })).status?.logPath ?? "";
  writeFileSync(join(signals, "first"), "");
  await other.died();
  assert.equal(existsSync(path), false);
  await other.start();
  await until(path, () => existsSync(path));
  writeFileSync(join(signals, "second"), "");
  const said = (): string => {
    const files = readdirSync(dirname(path)).filter((name) => name.startsWith(basename(path)));
    const age = (name: string): number => Number(/\.(\d+)$/.exec(name)?.[1] ?? 0);
    const oldestFirst = files
      .toSorted((a, b) => age(b) - age(a))
      .map((name) => readFileSync(join(dirname(path), name)));
    return content(Buffer.concat(oldestFirst), "stdout").toString();
  };
  await until(path, () => said().endsWith("line 9099\n"));
  assert.equal(said(), Array.from({ length: 9100 }, (_, index) => `line ${index}\n`).join(""));
  await other.runtime.removePodSandbox({ podSandboxId });
});
