import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { isTripodError } from "./error.ts";
import { Records } from "./records.ts";

const dir = mkdtempSync("/tmp/tripod-records-");
after(() => rmSync(dir, { recursive: true }));

test("a record put is there for the next process, one deleted is not", () => {
  const path = join(dir, "a.db");
  {
    using records = Records.open(path);
    const table = records.table<{ n: number }>("things");
    table.put("b", { n: 2 });
    table.put("a", { n: 1 });
    table.put("a", { n: 3 });
    table.delete("b");
    table.delete("absent");
  }
  using records = Records.open(path);
  const table = records.table<{ n: number }>("things");
  assert.deepEqual(table.entries(), [["a", { n: 3 }]]);
  assert.equal(table.get("b"), undefined);
});

test("a file that is no database is a corrupt error that names it", () => {
  const path = join(dir, "broken.db");
  writeFileSync(path, "this is not a database, whatever its name says".repeat(100));
  assert.throws(
    () => Records.open(path),
    (error) => isTripodError(error, "corrupt") && error.message.includes(path),
  );
});

test("a table name with anything but lower-case letters is refused", () => {
  using records = Records.open(join(dir, "b.db"));
  assert.throws(
    () => records.table("a; DROP TABLE b"),
    (error) => isTripodError(error, "invalid"),
  );
});
