import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { codeOf, isTripodError } from "@tripod/base";
import { storageConformance } from "./conformance.ts";
import { SqliteStorage } from "./sqlite-storage.ts";
import type { Storage } from "./storage.ts";

const dir = mkdtempSync("/tmp/tripod-storage-");
after(() => rmSync(dir, { recursive: true }));
let count = 0;
const newPath = (): string => join(dir, `${(count += 1)}.db`);
const paths = new WeakMap<Storage, string>();

function open(path = newPath(), options = {}): SqliteStorage {
  const storage = SqliteStorage.open(path, options);
  paths.set(storage, path);
  return storage;
}

storageConformance("SqliteStorage", {
  open: async () => open(),
  async reopen(storage) {
    await storage[Symbol.asyncDispose]();
    return open(paths.get(storage));
  },
});

storageConformance("SqliteStorage without a memory of events", { open: async () => open(undefined, { ringSize: 1 }) });

test("history is bounded, and so is the file, however often a key changes", async () => {
  const path = newPath();
  await using storage = open(path, { historySize: 100, ringSize: 10 });
  const value = "x".repeat(2000);
  let { revision } = await storage.create("/a/x", value);
  const start = revision;
  for (let index = 0; index < 3000; index += 1)
    ({ revision } = await storage.update("/a/x", `${value}${index}`, revision));
  await assert.rejects(storage.watch("/a/", start), (error) => isTripodError(error, "out-of-range"));
  const recent = await storage.watch("/a/", revision - 90);
  recent.close();
  assert.equal((await Array.fromAsync(recent)).length, 90);
  assert.ok(statSync(path).size < 2_000_000, `${statSync(path).size} bytes`);
});

test("a watcher that does not read fails alone, with exhausted", async () => {
  await using storage = open(undefined, { watchBacklog: 5 });
  const slow = await storage.watch("/a/", await storage.currentRevision());
  const fast = await storage.watch("/a/", await storage.currentRevision());
  const reader = (async () => {
    let seen = 0;
    for await (const _ of fast) if ((seen += 1) === 20) break;
    return seen;
  })();
  for (let index = 0; index < 20; index += 1) await storage.create(`/a/${index}`, "v");
  assert.equal(await reader, 20);
  await assert.rejects(Array.fromAsync(slow), (error) => isTripodError(error, "exhausted"));
});

test("a file that another process uses is refused, and one that is no database is named", async () => {
  const path = newPath();
  await using _first = open(path);
  assert.throws(
    () => open(path),
    (error) => codeOf(error) === "failed-precondition",
  );
  const broken = newPath();
  writeFileSync(broken, "this is not a database, whatever its name says".repeat(100));
  assert.throws(
    () => open(broken),
    (error) => isTripodError(error, "corrupt") && error.message.includes(broken),
  );
});

/** Writes counters to two keys in turn until it is killed, and says each revision that it was told is kept. */
const writer = (path: string): string => `
  import { SqliteStorage } from ${JSON.stringify(join(import.meta.dirname, "sqlite-storage.ts"))};
  const storage = SqliteStorage.open(${JSON.stringify(path)}, { historySize: 50 });
  const keys = [await storage.create("/a/x", "0"), await storage.create("/a/y", "0")];
  for (let n = 1; ; n += 1) {
    const done = await Promise.all(keys.map((each) => storage.update(each.key, String(n), each.revision)));
    keys.splice(0, 2, ...done);
    process.stdout.write(done[1].revision + "\\n");
  }
`;

for (const failpoint of ["before-commit@40", "committed@40", "compact"]) {
  test(`killed at ${failpoint}, it has all that was acknowledged and no half of a transaction`, async () => {
    const path = newPath();
    const child = spawn(process.execPath, ["--input-type=module", "-e", writer(path)], {
      env: { ...process.env, TRIPOD_FAILPOINT: `apiserver.storage.${failpoint}` },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const [, signal] = await once(child, "close");
    assert.equal(signal, "SIGKILL");
    const acknowledged = Number(output.trimEnd().split("\n").at(-1));
    assert.ok(acknowledged > 0);
    await using storage = open(path);
    assert.ok((await storage.currentRevision()) >= acknowledged);
    const { items } = await storage.list("/a/");
    // Both updates of a round share a transaction, so that either both keys have it or neither.
    assert.equal(items.length, 2);
    assert.equal(items[0]?.value, items[1]?.value);
    assert.equal(Math.max(...items.map((item) => item.revision)), await storage.currentRevision());
    const { revision = 0 } = items[0] ?? {};
    assert.equal((await storage.update("/a/x", "after", revision)).revision, await storage.currentRevision());
  });
}
