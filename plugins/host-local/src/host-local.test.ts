import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { PluginInvoker } from "@tripod/cni";
import type { CniCommand, JsonObject } from "@tripod/cni/sdk";
import { onFreshHost, testPluginContract } from "@tripod/cni/testing";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";
import { interop, peer } from "@tripod/testing";
import { hostLocal } from "./host-local.ts";

/** Debian's containernetworking-plugins: upstream's host-local. */
const upstream = "/usr/lib/cni/host-local";

const configuration = (dataDir: string, ipam: JsonObject = {}, more: JsonObject = {}): JsonObject => ({
  cniVersion: "1.0.0",
  name: "net",
  type: "host-local",
  ipam: { type: "host-local", dataDir, ranges: [[{ subnet: "10.5.0.0/24" }]], ...ipam },
  ...more,
});

const invoker = new PluginInvoker({ binDirs: [], plugins: new Map([["host-local", hostLocal]]) });

/** Runs one command of ours in process; the addresses of an ADD. */
async function own(
  command: CniCommand,
  id: string,
  netns: string,
  stdin: JsonObject,
  args = "",
): Promise<readonly string[]> {
  const result = await invoker.invoke("host-local", {
    command,
    containerId: id,
    netns,
    ifname: "eth0",
    args,
    path: [],
    stdin,
    signal: new AbortController().signal,
  });
  const ips = result?.ips;
  return Array.isArray(ips)
    ? ips.map((ip) => (typeof ip === "object" && ip !== null && "address" in ip ? String(ip.address) : ""))
    : [];
}

/** Runs one command of upstream's executable. */
function foreign(
  command: string,
  id: string,
  netns: string,
  stdin: JsonObject,
): { status: number | null; stdout: string } {
  const env = {
    ...process.env,
    CNI_COMMAND: command,
    CNI_CONTAINERID: id,
    CNI_NETNS: netns,
    CNI_IFNAME: "eth0",
    CNI_PATH: "/usr/lib/cni",
  };
  return spawnSync(upstream, { env, input: JSON.stringify(stdin), encoding: "utf8" });
}

const reserved = (dataDir: string): string[] =>
  readdirSync(join(dataDir, "net")).filter((name) => /^[0-9a-f.:]+$/.test(name) && name !== "lock");

if (process.argv[2] === "add") {
  // The child of the crash test: one ADD, in the course of which a failpoint ends the process.
  await own("ADD", "victim", process.argv[4] ?? "", configuration(process.argv[3] ?? ""));
} else if (onFreshHost(import.meta.url)) {
  const data = new TemporaryFolder("host-local");
  const netns = new FreshNetns();
  test.after(() => {
    netns[Symbol.dispose]();
    data[Symbol.dispose]();
  });
  let count = 0;
  const fresh = (): string => data.join(String((count += 1)));

  testPluginContract({
    plugin: hostLocal,
    config: { ipam: { type: "host-local", dataDir: data.join("contract"), ranges: [[{ subnet: "10.9.0.0/29" }]] } },
  });

  test("addresses go round, so that one just given back is not given out next", async () => {
    const dir = fresh();
    assert.deepEqual(await own("ADD", "a", netns.path, configuration(dir)), ["10.5.0.2/24"]);
    assert.deepEqual(await own("ADD", "b", netns.path, configuration(dir)), ["10.5.0.3/24"]);
    await own("DEL", "a", "", configuration(dir));
    assert.deepEqual(await own("ADD", "c", netns.path, configuration(dir)), ["10.5.0.4/24"]);
    await assert.rejects(own("ADD", "c", netns.path, configuration(dir)), {
      message: /holds 10\.5\.0\.4 already; DEL it first/,
    });
  });

  test("two sets give one address of each family, and the files are upstream's", async () => {
    const dir = fresh();
    const stdin = configuration(dir, {
      ranges: [[{ subnet: "10.5.0.0/24" }], [{ subnet: "fd05::/64" }]],
      routes: [{ dst: "0.0.0.0/0" }],
    });
    assert.deepEqual(await own("ADD", "a", netns.path, stdin), ["10.5.0.2/24", "fd05::2/64"]);
    assert.equal(readFileSync(join(dir, "net", "10.5.0.2"), "utf8"), "a\r\neth0");
    assert.equal(readFileSync(join(dir, "net", "fd05::2"), "utf8"), "a\r\neth0");
    assert.equal(readFileSync(join(dir, "net", "last_reserved_ip.1"), "utf8"), "fd05::2");
    await own("CHECK", "a", netns.path, stdin);
    await own("DEL", "a", "", stdin);
    assert.deepEqual(reserved(dir), []);
    await assert.rejects(own("CHECK", "a", netns.path, stdin), { cniCode: 3 });
  });

  test("a full range says which one, and one address given back can be had at once", async () => {
    const dir = fresh();
    const stdin = configuration(dir, { ranges: [[{ subnet: "10.5.0.0/29" }]] });
    for (const id of ["a", "b", "c", "d", "e"]) await own("ADD", id, netns.path, stdin);
    await assert.rejects(own("ADD", "f", netns.path, stdin), {
      message: /no free address in 10\.5\.0\.1-10\.5\.0\.6 of 10\.5\.0\.0\/29: all 5 are reserved/,
    });
    await own("DEL", "c", "", stdin);
    assert.deepEqual(await own("ADD", "f", netns.path, stdin), ["10.5.0.4/29"]);
  });

  test("an address may be asked for by CNI_ARGS, args and capability", async () => {
    const dir = fresh();
    assert.deepEqual(await own("ADD", "a", netns.path, configuration(dir), "IgnoreUnknown=1;IP=10.5.0.77"), [
      "10.5.0.77/24",
    ]);
    assert.deepEqual(
      await own("ADD", "b", netns.path, configuration(dir, {}, { args: { cni: { ips: ["10.5.0.78"] } } })),
      ["10.5.0.78/24"],
    );
    assert.deepEqual(
      await own("ADD", "c", netns.path, configuration(dir, {}, { runtimeConfig: { ips: ["10.5.0.79/24"] } })),
      ["10.5.0.79/24"],
    );
    await assert.rejects(own("ADD", "d", netns.path, configuration(dir), "IP=10.5.0.77"), {
      message: /10\.5\.0\.77 is reserved for another/,
    });
    await assert.rejects(own("ADD", "d", netns.path, configuration(dir), "IP=10.5.0.1"), { message: /is the gateway/ });
    await assert.rejects(own("ADD", "d", netns.path, configuration(dir), "IP=10.6.0.1"), {
      code: "invalid",
      message: /in no range/,
    });
    assert.deepEqual(reserved(dir), ["10.5.0.77", "10.5.0.78", "10.5.0.79"]);
  });

  const cell = interop({
    interface: "CNI host-local files",
    caller: peer("upstream's host-local", "containernetworking-plugins"),
    callee: "Tripod's host-local",
  });
  test(`${cell} | they share one network, in both directions`, () => {
    const dir = fresh();
    const stdin = configuration(dir);
    return (async () => {
      assert.match(foreign("ADD", "theirs", netns.path, stdin).stdout, /10\.5\.0\.2\/24/);
      assert.deepEqual(await own("ADD", "ours", netns.path, stdin), ["10.5.0.3/24"]);
      assert.match(foreign("ADD", "theirs-2", netns.path, stdin).stdout, /10\.5\.0\.4\/24/);
      assert.equal(
        foreign("CHECK", "ours", netns.path, { ...stdin, prevResult: { cniVersion: "1.0.0", ips: [] } }).status,
        0,
      );
      // Each takes back what the other gave.
      await own("DEL", "theirs", "", stdin);
      assert.equal(foreign("DEL", "ours", "", stdin).status, 0);
      assert.deepEqual(reserved(dir), ["10.5.0.4"]);
      // What upstream took back is no longer ours, and what it gave is known without being told.
      await assert.rejects(own("CHECK", "ours", netns.path, stdin), { cniCode: 3 });
      await assert.rejects(own("ADD", "theirs-2", netns.path, stdin), { message: /holds 10\.5\.0\.4 already/ });
    })();
  });

  test("reservations that a crash of upstream left empty are given out again", async () => {
    const dir = fresh();
    mkdirSync(join(dir, "net"), { recursive: true });
    for (let last = 2; last < 7; last += 1)
      writeFileSync(join(dir, "net", `10.5.0.${last}`), last === 4 ? "alive\r\neth0" : "");
    const stdin = configuration(dir, { ranges: [[{ subnet: "10.5.0.0/29" }]] });
    await own("ADD", "a", netns.path, stdin);
    assert.deepEqual(reserved(dir), ["10.5.0.2", "10.5.0.4"]);
  });

  test("GC gives back what no valid attachment holds, whoever reserved it", async () => {
    const dir = fresh();
    const stdin = configuration(dir);
    foreign("ADD", "theirs", netns.path, stdin);
    for (const id of ["a", "b"]) await own("ADD", id, netns.path, stdin);
    await own("GC", "", "", {
      ...stdin,
      cniVersion: "1.1.0",
      "cni.dev/attachments": [{ containerID: "b", ifname: "eth0" }],
    });
    assert.deepEqual(reserved(dir), ["10.5.0.4"]);
  });

  test("a kill at any step of ADD leaves nothing that DEL does not take away", async () => {
    for (const point of ["host-local.reserve.indexed", "host-local.reserve.linked", "host-local.add.reserved"]) {
      const dir = fresh();
      const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), "add", dir, netns.path], {
        env: { ...process.env, TRIPOD_FAILPOINT: point, NODE_TEST_CONTEXT: undefined },
        encoding: "utf8",
      });
      assert.equal(child.signal, "SIGKILL", `${point}: ${child.stderr}`);
      await own("DEL", "victim", "", configuration(dir));
      assert.deepEqual(reserved(dir), [], point);
      assert.equal((await own("ADD", "next", netns.path, configuration(dir))).length, 1);
    }
  });

  test("ADD does not slow down with the number of reservations", async () => {
    const folders = { few: fresh(), many: fresh() };
    mkdirSync(join(folders.many, "net"), { recursive: true });
    for (let host = 0; host < 5000; host += 1)
      writeFileSync(join(folders.many, "net", `10.1.${host >> 8}.${host & 255}`), `c${host}\r\neth0`);
    const time = async (dir: string, id: string): Promise<number> => {
      const stdin = configuration(dir, { ranges: [[{ subnet: "10.0.0.0/8" }]] });
      const start = performance.now();
      await own("ADD", id, netns.path, stdin);
      return performance.now() - start;
    };
    await time(folders.few, "first");
    await time(folders.many, "first"); // reads what another program wrote, once
    const times = { few: [] as number[], many: [] as number[] };
    for (let round = 0; round < 31; round += 1)
      for (const which of ["few", "many"] as const) times[which].push(await time(folders[which], `id-${round}`));
    const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[15] ?? 0;
    const [few, many] = [median(times.few), median(times.many)];
    // Upstream's, which reads every reservation, takes some ten times as long among so many.
    assert.ok(many < 3 * few, `an ADD takes ${few.toFixed(2)} ms, among 5,000 reservations ${many.toFixed(2)} ms`);
  });

  test("many ADDs at once give as many addresses", async () => {
    const dir = fresh();
    const ids = Array.from({ length: 40 }, (_, index) => `id-${index}`);
    const all = await Promise.all(ids.map((id) => own("ADD", id, netns.path, configuration(dir))));
    assert.equal(new Set(all.flat()).size, 40);
    assert.ok(existsSync(join(dir, "net", "lock")));
  });
}
