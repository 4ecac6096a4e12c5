import assert from "node:assert/strict";
import { test } from "node:test";
import { inNetns } from "../namespaces/in-namespaces.ts";
import { nft } from "../nftables.ts";
import { FreshNetns } from "../testing/fresh-netns.ts";
import { NftReader } from "./nft-reader.ts";

const table = { family: "inet", name: "t" } as const;

test("rules are read with chain, handle and comment as nft lists them, and those of no other table", () => {
  using host = new FreshNetns();
  const options = { netns: host.path };
  nft(
    [
      "add table inet t",
      "add chain inet t a",
      "add chain inet t b",
      'add rule inet t b tcp dport 80 accept comment "second chain"',
      'add rule inet t a ip saddr 10.0.0.1 ip daddr != 10.0.0.0/24 counter accept comment "ä, with: more"',
      "insert rule inet t a drop",
      `add rule inet t a return comment "${"x".repeat(128)}"`,
      "add table inet t2; add chain inet t2 a; add rule inet t2 a accept",
      "add table ip t; add chain ip t a; add rule ip t a accept",
    ].join("\n"),
    options,
  );
  using reader = inNetns(host.path, () => new NftReader());
  const rules = reader.rules(table);
  assert.deepEqual(
    rules.map(({ chain, comment }) => [chain, comment]),
    [
      ["a", ""],
      ["a", "ä, with: more"],
      ["a", "x".repeat(128)],
      ["b", "second chain"],
    ],
  );
  for (const { chain, handle } of rules) nft(`delete rule inet t ${chain} handle ${handle}`, options);
  assert.deepEqual(reader.rules(table), []);
  assert.equal(reader.rules({ family: "ip", name: "t" }).length, 1);
});

test("tables and chains are there or not, by family", () => {
  using host = new FreshNetns();
  using reader = inNetns(host.path, () => new NftReader());
  assert.deepEqual([reader.hasTable(table), reader.hasChain(table, "c"), reader.rules(table)], [false, false, []]);
  nft("add table inet t; add chain inet t c", { netns: host.path });
  assert.deepEqual(
    [reader.hasTable(table), reader.hasChain(table, "c"), reader.hasChain(table, "d")],
    [true, true, false],
  );
  assert.equal(reader.hasTable({ family: "bridge", name: "t" }), false);
});

test("a thousand rules are read whole", () => {
  using host = new FreshNetns();
  const rules = Array.from(
    { length: 1000 },
    (_, n) => `add rule inet t c tcp dport ${n + 1} accept comment "rule ${n}"`,
  );
  nft(["add table inet t", "add chain inet t c", ...rules].join("\n"), { netns: host.path });
  using reader = inNetns(host.path, () => new NftReader());
  assert.deepEqual(
    reader.rules(table).map(({ comment }) => comment),
    rules.map((_, n) => `rule ${n}`),
  );
});

test("sets, and their elements with key and comment", () => {
  using host = new FreshNetns();
  using reader = inNetns(host.path, () => new NftReader());
  assert.deepEqual([reader.sets(table), reader.elements(table, "m")], [[], []]);
  const many = Array.from({ length: 3000 }, (_, n) => `tcp . ${n + 1} comment "e${n}" : 10.0.0.2 . 80`);
  nft(
    [
      "add table inet t",
      "add map inet t m { type inet_proto . inet_service : ipv4_addr . inet_service; }",
      "add set inet t s { type ipv6_addr; }",
      "add element inet t s { fd00::1 }",
      `add element inet t m { ${many.join(", ")} }`,
      "add table inet t2; add set inet t2 other { type ipv4_addr; }",
    ].join("\n"),
    { netns: host.path },
  );
  assert.deepEqual([...reader.sets(table)].toSorted(), ["m", "s"]);
  assert.deepEqual(
    reader.elements(table, "s").map(({ key, comment }) => [key.toString("hex"), comment]),
    [[`fd00${"0".repeat(27)}1`, ""]],
  );
  const read = new Map(reader.elements(table, "m").map(({ key, comment }) => [comment, key.toString("hex")]));
  assert.equal(read.size, 3000);
  assert.equal(read.get("e79"), "0600000000500000");
  assert.deepEqual(reader.elements(table, "none"), []);
});
