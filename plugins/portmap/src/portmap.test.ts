import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "@tripod/cni";
import { callerOf, onFreshHost } from "@tripod/cni/testing";
import { nft, openRtnetlink } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { goProgram, goPrograms, interop } from "@tripod/testing";
import { spawnSync } from "node:child_process";
import { portmap } from "./portmap.ts";

/** What a plugin before it would have made of a container whose addresses end with this. */
const container = (host: number): JsonObject => ({
  cniVersion: "1.1.0",
  interfaces: [{ name: "eth0", sandbox: "/somewhere" }],
  ips: [
    { interface: 0, address: `10.9.0.${host}/24` },
    { interface: 0, address: `fd00::${host}/64` },
  ],
});
const tcp = (hostPort: number, more: JsonObject = {}): JsonObject => ({
  hostPort,
  containerPort: 80,
  protocol: "tcp",
  ...more,
});

/** The elements of a set or map, with or without whose they are. */
function elements(set: string, { family = "ip", comments = false } = {}): readonly string[] {
  const listing = nft(`list table ${family} cni_hostport_maps`);
  const block = new RegExp(`\\t(?:set|map) ${set} \\{(.*?)\\n\\t\\}`, "s").exec(listing)?.[1] ?? "";
  const [, list = ""] = /elements = \{ (.*) \}/s.exec(block) ?? [];
  return list
    .split(/,\s+/)
    .filter((element) => element !== "")
    .map((element) => (comments ? element : element.replace(/ comment ".*?"/, "")));
}

if (onFreshHost(import.meta.url)) {
  const host = openRtnetlink();
  host.linkAdd({ kind: "bridge", name: "pods0", up: true });
  for (const address of ["10.9.0.1/24", "fd00::1/64"])
    host.addressAdd({ index: host.linkByName("pods0").index, address, noDad: true });
  const netns = new FreshNetns();
  test.after(() => {
    netns[Symbol.dispose]();
    host[Symbol.dispose]();
  });
  const call = callerOf({ plugin: portmap, network: "net", config: {} });
  const add = (
    id: string,
    at: number,
    portMappings: readonly JsonObject[],
    more: JsonObject = {},
  ): Promise<JsonObject> =>
    call("ADD", netns.path, {
      containerId: id,
      more: { prevResult: container(at), runtimeConfig: { portMappings }, ...more },
    });
  const check = (
    id: string,
    at: number,
    portMappings: readonly JsonObject[],
    more: JsonObject = {},
  ): Promise<JsonObject> =>
    call("CHECK", netns.path, {
      containerId: id,
      more: { prevResult: container(at), runtimeConfig: { portMappings }, ...more },
    });
  const del = (id: string): Promise<JsonObject> => call("DEL", "", { containerId: id });

  test("a mapping is an element of a map, of the family that it is for, by protocol, port and host address", async () => {
    const mappings = [
      tcp(8080),
      { hostPort: 53, containerPort: 5353, protocol: "UDP" },
      { hostPort: 9, containerPort: 90, protocol: "sctp" },
      tcp(8081, { hostIP: "10.9.0.1" }),
      tcp(8082, { hostIP: "::" }),
      tcp(0),
    ];
    await add("a", 2, mappings);
    const wanted = ["sctp . 9 : 10.9.0.2 . 90", "tcp . 8080 : 10.9.0.2 . 80", "udp . 53 : 10.9.0.2 . 5353"];
    assert.deepEqual([...elements("ports")].toSorted(), wanted);
    assert.deepEqual(elements("hostip_ports"), ["10.9.0.1 . tcp . 8081 : 10.9.0.2 . 80"]);
    assert.ok(elements("ports", { family: "ip6" }).includes("tcp . 8082 : fd00::2 . 80"));
    assert.deepEqual([...elements("hairpins")].toSorted(), ["10.9.0.2 . 10.9.0.2", "127.0.0.1 . 10.9.0.2"]);
    assert.deepEqual(elements("hairpins", { family: "ip6" }), ["fd00::2 . fd00::2"]);
    await check("a", 2, mappings);
    await del("a");
    await del("a");
    assert.equal(nft("list ruleset"), "");
  });

  test("a port that another container holds, as one that crashed does, leads to the new one; its DEL leaves that alone", async () => {
    await add("old", 2, [tcp(8080), tcp(8081)]);
    await add("new", 3, [tcp(8080)]);
    assert.deepEqual([...elements("ports")].toSorted(), ["tcp . 8080 : 10.9.0.3 . 80", "tcp . 8081 : 10.9.0.2 . 80"]);
    await assert.rejects(check("old", 2, [tcp(8080)]), { cniCode: 3, message: /ports \{ tcp \. 8080 \}/ });
    await del("old");
    assert.deepEqual(elements("ports"), ["tcp . 8080 : 10.9.0.3 . 80"]);
    await check("new", 3, [tcp(8080)]);
    await del("new");
    assert.equal(nft("list ruleset"), "");
  });

  test("the address of a container that crashed, with its very mapping, becomes the new one's", async () => {
    await add("old", 2, [tcp(8080)]);
    await add("new", 2, [tcp(8080)]);
    await check("new", 2, [tcp(8080)]);
    await del("old");
    await check("new", 2, [tcp(8080)]);
    await del("new");
    assert.equal(nft("list ruleset"), "");
  });

  test("an ADD asked again replaces what the first had made", async () => {
    await add("a", 2, [tcp(8080), tcp(8081)]);
    await add("a", 3, [tcp(8081), tcp(8082)], { masqAll: true });
    assert.deepEqual([...elements("ports")].toSorted(), ["tcp . 8081 : 10.9.0.3 . 80", "tcp . 8082 : 10.9.0.3 . 80"]);
    assert.deepEqual(elements("hairpins"), []);
    assert.deepEqual(elements("masq_all"), ["10.9.0.3"]);
    await del("a");
    assert.equal(nft("list ruleset"), "");
  });

  test("of two mappings of one port the later counts; without snat nothing is masqueraded", async () => {
    await add("a", 2, [tcp(8080), tcp(8080, { containerPort: 81 })], { snat: false });
    assert.deepEqual(elements("ports"), ["tcp . 8080 : 10.9.0.2 . 81"]);
    assert.doesNotMatch(nft("list ruleset"), /masquerade|localnet_guard/);
    await del("a");
    assert.equal(nft("list ruleset"), "");
  });

  test("networks of different conditions have maps of their own", async () => {
    const only = { conditionsV4: ["iifname", "!=", "lo"] };
    await add("a", 2, [tcp(8080)]);
    await call("ADD", netns.path, {
      containerId: "b",
      more: { name: "other", prevResult: container(3), runtimeConfig: { portMappings: [tcp(8081)] }, ...only },
    });
    const listing = nft("list table ip cni_hostport_maps");
    assert.match(listing, /iifname != "lo" fib daddr type local jump hostports_[0-9a-f]{8} /);
    assert.match(listing, /^\t\tfib daddr type local jump hostports /m);
    assert.deepEqual(elements("ports"), ["tcp . 8080 : 10.9.0.2 . 80"]);
    await del("a");
    await del("b");
    assert.equal(nft("list ruleset"), "");
  });

  test("a container's id may be longer than a comment", async () => {
    const id = "x".repeat(200);
    await add(id, 2, [tcp(8080)]);
    await check(id, 2, [tcp(8080)]);
    await add(`${id}y`, 3, [tcp(8081)]);
    await del(id);
    assert.deepEqual(elements("ports"), ["tcp . 8081 : 10.9.0.3 . 80"]);
    await del(`${id}y`);
    assert.equal(nft("list ruleset"), "");
  });

  test("GC takes what no valid attachment of the network has, and leaves other networks'", async () => {
    await add("kept", 2, [tcp(8080)]);
    await add("stale", 3, [tcp(8081)]);
    const other = { name: "other", prevResult: container(4), runtimeConfig: { portMappings: [tcp(8082)] } };
    await call("ADD", netns.path, { containerId: "elsewhere", more: other });
    await call("GC", "", { more: { "cni.dev/valid-attachments": [{ containerID: "kept", ifname: "eth0" }] } });
    assert.deepEqual([...elements("ports")].toSorted(), ["tcp . 8080 : 10.9.0.2 . 80", "tcp . 8082 : 10.9.0.4 . 80"]);
    await del("kept");
    await del("elsewhere");
    assert.equal(nft("list ruleset"), "");
  });

  test("CHECK tells rules that somebody has changed, and ADD puts them up again", async () => {
    await add("a", 2, [tcp(8080)]);
    nft("flush chain ip cni_hostport_maps output");
    await assert.rejects(check("a", 2, [tcp(8080)]), { cniCode: 3, message: /rules of table cni_hostport_maps/ });
    await add("b", 3, [tcp(8081)]);
    await check("a", 2, [tcp(8080)]);
    await del("a");
    await del("b");
  });

  const built = goProgram(goPrograms.portmap);
  const callee = `upstream's portmap ${goPrograms.portmap.version.slice(1)}`;
  test(`${interop({ interface: "CNI", caller: "Tripod's portmap", callee })} | DEL takes away what that has made`, {
    skip: "skip" in built ? built.skip : false,
  }, async () => {
    const { status, stdout } = spawnSync("path" in built ? built.path : "", {
      encoding: "utf8",
      input: JSON.stringify({
        cniVersion: "1.0.0",
        name: "net",
        type: "portmap",
        backend: "nftables",
        prevResult: { ...container(2), cniVersion: "1.0.0" },
        runtimeConfig: { portMappings: [tcp(8080)] },
      }),
      env: {
        PATH: process.env.PATH,
        CNI_COMMAND: "ADD",
        CNI_CONTAINERID: "theirs",
        CNI_NETNS: netns.path,
        CNI_IFNAME: "eth0",
        CNI_PATH: "/nonexistent",
      },
    });
    assert.equal(status, 0, stdout);
    assert.match(nft("list ruleset"), /dport 8080 dnat/);
    await add("ours", 3, [tcp(8080)]);
    await del("theirs");
    assert.doesNotMatch(nft("list table ip cni_hostport"), /dport 8080/);
    assert.deepEqual(elements("ports"), ["tcp . 8080 : 10.9.0.3 . 80"]);
    await del("ours");
  });
}
