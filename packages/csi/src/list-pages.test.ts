import assert from "node:assert/strict";
import { test } from "node:test";
import { listPages } from "./list-pages.ts";

test("a driver's list is read to its end, page by page", async () => {
  const asked: string[] = [];
  const pages = listPages(async ({ startingToken }) => {
    asked.push(startingToken);
    return { nextToken: { "": "a", a: "b" }[startingToken] ?? "" };
  });
  assert.equal((await Array.fromAsync(pages)).length, 3);
  assert.deepEqual(asked, ["", "a", "b"]);
});

test("a list that does not end is given up", async () => {
  await assert.rejects(Array.fromAsync(listPages(async () => ({ nextToken: "again" }))), { code: "corrupt" });
});
