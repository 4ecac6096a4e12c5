import assert from "node:assert/strict";
import {
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { writeAtomicFiles } from "./atomic-files.ts";
import { setFsGroup } from "./fs-group.ts";
import { checkPayloadPath, type Payload, payloadOfKeys } from "./payload.ts";

let root: string;
before(() => {
  root = mkdtempSync("/tmp/tripod-volume-");
});
after(() => rmSync(root, { recursive: true }));

const payload = (files: Record<string, string>, mode = 0o644): Payload =>
  new Map(Object.entries(files).map(([path, text]) => [path, { data: Buffer.from(text), mode }]));

test("files appear through ..data, change as a whole, and go again", async () => {
  const dir = join(root, "one");
  mkdirSync(dir);
  assert.equal(await writeAtomicFiles(dir, payload({ a: "1", "deep/b": "2" })), true);
  assert.equal(readFileSync(join(dir, "deep/b"), "utf8"), "2");
  const first = readlinkSync(join(dir, "..data"));
  assert.equal(await writeAtomicFiles(dir, payload({ a: "1", "deep/b": "2" })), false);
  assert.equal(readlinkSync(join(dir, "..data")), first);
  assert.equal(await writeAtomicFiles(dir, payload({ a: "3" })), true);
  assert.equal(readFileSync(join(dir, "a"), "utf8"), "3");
  assert.deepEqual(readdirSync(dir).toSorted(), [readlinkSync(join(dir, "..data")), "..data", "a"].toSorted());
});

test("what a crash left over is cleaned up", async () => {
  const dir = join(root, "crash");
  mkdirSync(join(dir, "..2020_01_01_00_00_00.dead"), { recursive: true });
  symlinkSync("..2020_01_01_00_00_00.dead", join(dir, "..data_tmp"));
  await writeAtomicFiles(dir, payload({ a: "1" }));
  assert.equal(readdirSync(dir).length, 3);
});

test("modes and the group are as asked", async () => {
  const dir = join(root, "modes");
  mkdirSync(dir);
  await writeAtomicFiles(dir, payload({ a: "1" }, 0o600), { fsGroup: 77 });
  const { mode, gid } = statSync(join(dir, "a"));
  assert.deepEqual([mode & 0o777, gid], [0o640, 77]);
});

for (const [path, why] of [
  ["../x", "leaves the volume"],
  ["/x", "absolute"],
  ["a/../../x", "leaves the volume"],
  ["..data", "the volume's own name"],
  ["", "empty"],
  ["a//b", "empty part"],
] as const) {
  test(`checkPayloadPath refuses ${JSON.stringify(path)}: ${why}`, () => {
    assert.throws(() => checkPayloadPath(path), /volume path/);
  });
}

test("items pick keys, and a missing one is an error that names it", () => {
  const entries = new Map([["a", Buffer.from("1")]]);
  const selection = { defaultMode: 0o644, optional: false, origin: "configmap n/c" };
  const picked = payloadOfKeys(entries, { ...selection, items: [{ key: "a", path: "x/y", mode: 0o400 }] });
  assert.deepEqual([...picked.keys()], ["x/y"]);
  assert.equal(picked.get("x/y")?.mode, 0o400);
  assert.throws(
    () => payloadOfKeys(entries, { ...selection, items: [{ key: "b", path: "b" }] }),
    /references non-existent key: b/,
  );
});

test("setFsGroup gives a tree to a group and does not follow links out of it", async () => {
  const dir = join(root, "group");
  const outside = join(root, "outside");
  mkdirSync(join(dir, "sub"), { recursive: true });
  writeFileSync(outside, "", { mode: 0o600 });
  writeFileSync(join(dir, "sub/file"), "", { mode: 0o600 });
  symlinkSync(outside, join(dir, "link"));
  await setFsGroup(dir, { fsGroup: 1234 });
  const file = statSync(join(dir, "sub/file"));
  assert.deepEqual([file.gid, file.mode & 0o777], [1234, 0o660]);
  assert.equal(statSync(dir).mode & 0o2070, 0o2070);
  assert.deepEqual([statSync(outside).gid, statSync(outside).mode & 0o777], [0, 0o600]);
  chownSync(join(dir, "sub/file"), 0, 0);
  await setFsGroup(dir, { fsGroup: 1234, policy: "OnRootMismatch" });
  assert.equal(statSync(join(dir, "sub/file")).gid, 0);
});
