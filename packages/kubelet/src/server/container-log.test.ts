import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { isTripodError } from "@tripod/base";
import { messageOfLog } from "../pods/termination-message.ts";
import { parseLogLine } from "./log-line.ts";
import { parseLogRequest } from "./log-request.ts";
import { tailOffset } from "./log-tail.ts";
import { readContainerLog, type ReadLogOptions } from "./read-container-log.ts";

let dir: string;
before(() => {
  dir = mkdtempSync("/tmp/tripod-log-");
});
after(() => rmSync(dir, { recursive: true }));

const line = (text: string, stream = "stdout", tag = "F", second = 1): string =>
  `2026-01-01T00:00:0${second}.123456789Z ${stream} ${tag} ${text}\n`;

async function read(path: string, more: Partial<ReadLogOptions> = {}): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of readContainerLog(options(path, more))) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const options = (path: string, more: Partial<ReadLogOptions>): ReadLogOptions => ({
  path,
  follow: false,
  tailLines: undefined,
  sinceMs: undefined,
  timestamps: false,
  limitBytes: undefined,
  stream: "all",
  isRunning: async () => true,
  onContainerChange: () => () => undefined,
  signal: new AbortController().signal,
  ...more,
});

test("partial lines are joined, and lines of another form are passed over", async () => {
  const path = join(dir, "partial.log");
  writeFileSync(path, `${line("he", "stdout", "P")}${line("llo")}garbage\n${line("err", "stderr")}`);
  assert.equal(await read(path), "hello\nerr\n");
  assert.equal(await read(path, { stream: "stderr" }), "err\n");
  assert.equal(
    await read(path, { timestamps: true }),
    "2026-01-01T00:00:01.123456789Z hello\n2026-01-01T00:00:01.123456789Z err\n",
  );
});

test("a time of UTC is told as Z, also when the runtime writes it as an offset", () => {
  const timestampOf = (time: string) => parseLogLine(Buffer.from(`${time} stdout F x`))?.timestamp;
  assert.equal(timestampOf("2026-01-01T00:00:01.123456789+00:00"), "2026-01-01T00:00:01.123456789Z");
  assert.equal(timestampOf("2026-01-01T00:00:01.123456789+02:00"), "2026-01-01T00:00:01.123456789+02:00");
});

test("since, tail and limitBytes", async () => {
  const path = join(dir, "select.log");
  writeFileSync(path, [1, 2, 3, 4].map((second) => line(`l${second}`, "stdout", "F", second)).join(""));
  assert.equal(await read(path, { sinceMs: Date.parse("2026-01-01T00:00:03Z") }), "l3\nl4\n");
  assert.equal(await read(path, { tailLines: 2 }), "l3\nl4\n");
  assert.equal(await read(path, { tailLines: 0 }), "");
  assert.equal(await read(path, { tailLines: 99 }), "l1\nl2\nl3\nl4\n");
  assert.equal(await read(path, { limitBytes: 4 }), "l1\nl");
});

test("the tail of a long log is found across blocks, and pieces count as one line", async () => {
  const path = join(dir, "long.log");
  const long = "x".repeat(50_000);
  writeFileSync(
    path,
    `${line("first")}${line(long, "stdout", "P")}${line(long, "stdout", "P")}${line("end")}${line("last")}`,
  );
  await using file = await open(path);
  const { size } = await file.stat();
  const whole = async (count: number): Promise<number> => (await read(path, { tailLines: count })).length;
  assert.equal(await whole(1), 5);
  assert.equal(await whole(2), 5 + 100_004);
  assert.equal(await whole(3), 5 + 100_004 + 6);
  assert.equal(await tailOffset(file, size, 0), size);
});

test("following sees what is written later, goes over to a rotated log, and ends with the container", async () => {
  const path = join(dir, "follow.log");
  writeFileSync(path, line("one"));
  let running = true;
  let changed: () => void = () => undefined;
  const reader = readContainerLog(
    options(path, {
      follow: true,
      isRunning: async () => running,
      onContainerChange(listener) {
        changed = listener;
        return () => undefined;
      },
    }),
  );
  const next = async (): Promise<string | undefined> => {
    const step = await reader.next();
    return step.done === true ? undefined : step.value.toString();
  };
  assert.equal(await next(), "one\n");
  const second = next();
  appendFileSync(path, line("two"));
  assert.equal(await second, "two\n");
  const third = next();
  renameSync(path, `${path}.old`);
  writeFileSync(path, line("three"));
  assert.equal(await third, "three\n");
  const last = next();
  appendFileSync(path, line("four"));
  assert.equal(await last, "four\n");
  running = false;
  const end = next();
  changed();
  assert.equal(await end, undefined);
});

for (const [text, why] of [
  ["", "empty"],
  ["2026 stdout", "no tag"],
  ["2026 stdin F x", "unknown stream"],
  ["2026 stdout X x", "unknown tag"],
] as const) {
  test(`parseLogLine refuses a line: ${why}`, () => assert.equal(parseLogLine(Buffer.from(text)), undefined));
}

for (const query of ["tailLines=-1", "tailLines=x", "limitBytes=0", "sinceTime=yesterday", "stream=both"]) {
  test(`parseLogRequest refuses ${query}`, () => {
    assert.throws(
      () => parseLogRequest(new URLSearchParams(query), 0),
      (error) => isTripodError(error, "invalid"),
    );
  });
}

test("the last words out of a log", () => {
  assert.equal(messageOfLog(`${line("a", "stdout", "P")}${line("b")}${line("c", "stderr")}`), "ab\nc\n");
});
