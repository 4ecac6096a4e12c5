import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { nft } from "./nftables.ts";
import { FreshNetns } from "./testing/fresh-netns.ts";

test("commands of one call take effect together or not at all", () => {
  using host = new FreshNetns();
  const options = { netns: host.path };
  nft("add table inet t; add chain inet t c { type filter hook input priority filter; }", options);
  assert.throws(
    () =>
      nft(
        "add set inet t s { type ipv4_addr; }\nadd element inet t s { 10.0.0.1 }\nadd rule inet t nowhere accept",
        options,
      ),
    { code: "not-found" },
  );
  assert.doesNotMatch(nft("list ruleset", options), /set s/);
  nft("add set inet t s { type ipv4_addr; }\nadd element inet t s { 10.0.0.1 }", options);
  assert.match(nft("list ruleset", options), /10\.0\.0\.1/);
});

test("a namespace's rules are its own", () => {
  using one = new FreshNetns();
  using two = new FreshNetns();
  nft("add table inet only_in_one", { netns: one.path });
  assert.equal(nft("list ruleset", { netns: two.path }), "");
  assert.doesNotMatch(nft("list tables"), /only_in_one/);
});

test("JSON goes in and comes out", () => {
  using host = new FreshNetns();
  const options = { netns: host.path, json: true };
  nft(JSON.stringify({ nftables: [{ add: { table: { family: "ip", name: "j" } } }] }), options);
  const listed: unknown = JSON.parse(nft("list tables", options));
  assert.match(JSON.stringify(listed), /"name":"j"/);
  nft("add chain ip j c; add rule ip j c accept", { netns: host.path });
  assert.match(nft("list chain ip j c", { netns: host.path, handles: true }), /# handle \d+/);
});

test("errors have a code and nft's report", () => {
  using host = new FreshNetns();
  const options = { netns: host.path };
  nft("add table inet t", options);
  for (const [command, code] of [
    ["create table inet t", "already-exists"],
    ["delete table inet u", "not-found"],
    ["list table inet u", "not-found"],
    ["frobnicate", "invalid"],
    ["add rule inet t c tcp dport ninety accept", "invalid"],
  ] as const) {
    assert.throws(() => nft(command, options), { code }, command);
  }
  assert.equal(nft("list tables", options), "table inet t\n");
});

test("a transaction is done once, whatever signals come meanwhile", async () => {
  using host = new FreshNetns();
  const options = { netns: host.path };
  nft("add table inet t; add chain inet t c", options);
  const signals = spawn("sh", ["-c", `while kill -CHLD ${process.pid}; do :; done`], { stdio: "ignore" });
  try {
    await once(signals, "spawn");
    for (let round = 0; round < 100; round += 1) {
      nft("add set inet t s { type ipv4_addr; }; add element inet t s { 10.0.0.1 }; add rule inet t c accept", options);
      nft("flush chain inet t c; delete set inet t s", options); // a second time, it would not be there
    }
  } finally {
    signals.kill("SIGKILL");
    await once(signals, "exit");
  }
});
