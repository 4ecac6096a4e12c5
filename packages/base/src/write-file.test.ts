import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { writeFileAtomic, writeFileAtomicSync } from "./write-file.ts";

const dir = mkdtempSync("/tmp/tripod-write-");
after(() => rmSync(dir, { recursive: true }));

test("writeFileAtomic replaces the whole file with the mode asked for", async () => {
  const path = join(dir, "a");
  await writeFileAtomic(path, "one");
  await writeFileAtomic(path, "two", { mode: 0o600 });
  assert.equal(readFileSync(path, "utf8"), "two");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  writeFileAtomicSync(path, Buffer.from("three"));
  assert.equal(readFileSync(path, "utf8"), "three");
});

test("a write into a folder that does not exist fails and leaves nothing", async () => {
  await assert.rejects(writeFileAtomic(join(dir, "absent/a"), "x"), /ENOENT/);
  assert.deepEqual(
    readdirSync(dir).filter((name) => name.endsWith(".tmp")),
    [],
  );
});

test("a failpoint ends the process by SIGKILL at the Nth passage", () => {
  const script = `import { failpoint } from ${JSON.stringify(join(import.meta.dirname, "failpoint.ts"))}; failpoint("other"); failpoint("here"); console.log("once"); failpoint("here"); console.log("never");`;
  const result = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    env: { ...process.env, TRIPOD_FAILPOINT: "here@2" },
    encoding: "utf8",
  });
  assert.equal(result.signal, "SIGKILL");
  assert.equal(result.stdout, "once\n");
});
