import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidArgumentError } from "commander";
import { parseNodeName, parsePort } from "./node-options.ts";

test("ports and names that can be used are taken as they are", () => {
  for (const [text, port] of [
    ["0", 0],
    ["6443", 6443],
    ["65535", 65_535],
  ] as const)
    assert.equal(parsePort(text), port);
  for (const name of ["vm", "node-1", "node-1.example.com", "7"]) assert.equal(parseNodeName(name), name);
});

for (const text of ["65536", "-1", "", "http", "6443x", "1e3"]) {
  test(`--port ${JSON.stringify(text)} is refused before anything starts`, () => {
    assert.throws(() => parsePort(text), InvalidArgumentError);
  });
}

for (const text of ["", "Bad Name", "-a", "a-", "a..b", "a_b", "x".repeat(64)]) {
  test(`--node-name ${JSON.stringify(text)} is refused before anything starts`, () => {
    assert.throws(() => parseNodeName(text), InvalidArgumentError);
  });
}
