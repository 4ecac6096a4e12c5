import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { test } from "node:test";
import { layoutOf } from "@tripod/base";
import { capabilityNames, mountInfo } from "@tripod/linux";
import { TemporaryFolder } from "@tripod/linux/testing";
import { judgeCgroups } from "./cgroups.ts";
import { judgeDisk, socketPathCheck } from "./folders.ts";
import { kernelVersion } from "./kernel-features.ts";
import { lazyStartCheck } from "./lazy-start.ts";
import { judgeLimits } from "./limits.ts";
import { portCheck } from "./network.ts";
import { capabilityCheck } from "./privileges.ts";
import { programChecks, programs } from "./programs.ts";
import { runChecks } from "./run-checks.ts";
import { isAtLeast, parseVersion } from "./version.ts";

test("this machine can run Pods, every check that is not ok says what to do, and nothing is left behind", async () => {
  using folder = new TemporaryFolder("doctor-test");
  mkdirSync(folder.join("lib"));
  const checks = await runChecks(layoutOf(folder.path));
  assert.deepEqual(
    checks.filter(({ status }) => status === "fail"),
    [],
  );
  for (const check of checks) {
    assert.equal(check.remedy === undefined, check.status === "ok", check.name);
    assert.notEqual(check.found, "", check.name);
  }
  const names = checks.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  for (const name of [
    "snapshotter",
    "veth",
    "bridge",
    "nftables",
    "pidfd",
    "openat2",
    "runc",
    "conmon",
    "libnftables",
    "disk",
  ]) {
    assert(names.includes(name), name);
  }
  assert.deepEqual(readdirSync(folder.path), ["lib"]);
  assert.deepEqual(readdirSync(folder.join("lib")), []);
  assert(!mountInfo().some(({ mountPoint }) => mountPoint.startsWith(folder.path)));
});

test("where containers are to start early, it is told whether they can", () => {
  using folder = new TemporaryFolder("doctor-test");
  const layout = layoutOf(folder.path);
  mkdirSync(layout.etcDir);
  assert.deepEqual(lazyStartCheck(layout), []);
  writeFileSync(layout.configFile, "cri: {lazyStart: on, snapshotter: native}");
  assert.match(lazyStartCheck(layout)[0]?.found ?? "", /^snapshotter native needs whole layers/);
  writeFileSync(layout.configFile, "cri: {lazyStart: on}");
  assert.equal(lazyStartCheck(layout)[0]?.status, existsSync("/dev/fuse") ? "ok" : "warn");
});

test("versions are found in what programs print and compared by numbers", () => {
  for (const [text, version] of [
    ["runc version 1.1.5+ds1\ncommit: x", [1, 1, 5]],
    ["ip utility, iproute2-6.1.0, libbpf 1.1.2", [6, 1, 0]],
    ["tini version 0.1.7_catatonit", [0, 1, 7]],
    ["6.18.5-arm64", [6, 18, 5]],
  ] as const) {
    assert.deepEqual(parseVersion(text), version);
  }
  assert.equal(parseVersion("none"), undefined);
  assert(isAtLeast([1, 10], [1, 9, 9]));
  assert(isAtLeast([1, 1], [1, 1, 0]));
  assert(!isAtLeast([1, 0, 9], [1, 1]));
});

test("a missing, old or broken program is named with its package", async () => {
  const [runc] = programs;
  assert(runc !== undefined);
  const of = async (changes: Partial<typeof runc>) => (await programChecks([{ ...runc, ...changes }]))[0];
  assert.equal((await of({ file: "tripod-no-such-program" }))?.status, "fail");
  assert.match((await of({ file: "tripod-no-such-program" }))?.remedy ?? "", /apt-get install runc/);
  assert.equal((await of({ file: "tripod-no-such-program", needed: false }))?.status, "warn");
  assert.match((await of({ file: "echo", args: ["runc version 1.0.3"] }))?.remedy ?? "", /1\.1\.0 or later/);
  assert.match((await of({ file: "false", args: [] }))?.found ?? "", /exit code 1/);
  assert.deepEqual(await of({ file: "echo", args: ["runc version 1.2.0"] }), {
    name: "runc",
    status: "ok",
    found: "1.2.0",
  });
});

test("capabilities, kernel, cgroups, disk and limits are judged", () => {
  const table: readonly (readonly [string, string, string])[] = [
    ["all", capabilityCheck(capabilityNames).status, "ok"],
    ["no resource", capabilityCheck(capabilityNames.filter((name) => name !== "CAP_SYS_RESOURCE")).status, "warn"],
    ["none", capabilityCheck([]).status, "fail"],
    ["new kernel", kernelVersion("6.1.0-18-amd64").status, "ok"],
    ["old kernel", kernelVersion("4.19.0").status, "fail"],
    ["room", judgeDisk({ folder: "/", freeBytes: 2 ** 40, totalBytes: 2 ** 41, freeInodeShare: 0.5 }).status, "ok"],
    ["little", judgeDisk({ folder: "/", freeBytes: 2 ** 30, totalBytes: 2 ** 31, freeInodeShare: 0.5 }).status, "warn"],
    [
      "inodes",
      judgeDisk({ folder: "/", freeBytes: 2 ** 40, totalBytes: 2 ** 41, freeInodeShare: 0.05 }).status,
      "warn",
    ],
    ["full", judgeDisk({ folder: "/", freeBytes: 0, totalBytes: 0, freeInodeShare: 1 }).status, "fail"],
  ];
  for (const [why, status, wanted] of table) assert.equal(status, wanted, why);
  const statuses = (checks: readonly { status: string }[]): string[] => checks.map(({ status }) => status);
  const v2 = { version: "v2", unified: "/sys/fs/cgroup", v1: new Map<string, string>() } as const;
  const all = ["cpu", "cpuset", "hugetlb", "memory", "pids"];
  assert.deepEqual(statuses(judgeCgroups(v2, all)), ["ok", "ok"]);
  assert.deepEqual(statuses(judgeCgroups(v2, ["cpu", "memory", "pids"])), ["ok", "warn"]);
  assert.deepEqual(statuses(judgeCgroups(v2, ["cpu", "pids"])), ["ok", "fail"]);
  assert.deepEqual(statuses(judgeCgroups({ ...v2, version: "hybrid" }, all)), ["warn", "ok"]);
  assert.deepEqual(statuses(judgeCgroups({ ...v2, unified: undefined }, all)), ["fail", "ok"]);
  const limits = { inotifyInstances: 8192, inotifyWatches: 524_288, openFiles: 1_048_576 };
  assert.deepEqual(statuses(judgeLimits(limits)), ["ok", "ok"]);
  assert.deepEqual(statuses(judgeLimits({ ...limits, inotifyInstances: 128, openFiles: 1024 })), ["warn", "warn"]);
});

test("a root that makes socket paths too long is refused", () => {
  assert.equal(socketPathCheck(layoutOf("/tmp/x")).status, "ok");
  assert.equal(socketPathCheck(layoutOf(`/tmp/${"x".repeat(60)}`)).status, "fail");
});

test("a taken port is named, unless it is the instance's own", async () => {
  const server = createServer();
  server.listen(0);
  await once(server, "listening");
  const address = server.address();
  assert(address !== null && typeof address === "object");
  const { port } = address;
  try {
    const taken = await portCheck("port", { port, own: undefined });
    assert.equal(taken.status, "warn");
    assert.match(taken.found, new RegExp(`${port} is taken`));
    assert.equal((await portCheck("port", { port, own: port })).status, "ok");
  } finally {
    server.close();
    await once(server, "close");
  }
  assert.equal((await portCheck("port", { port, own: undefined })).status, "ok");
});
