import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isTripodError, randomHex } from "@tripod/base";
import { parseMountInfo } from "../mounts/mount-info.ts";
import { processIsRunning } from "../processes/process-start-time.ts";
import { checkCgroupPath, checkOwnCgroup } from "./cgroup-path.ts";
import { cgroupHugepages } from "./cgroup-hugepages.ts";
import { cgroupIo, cgroupIoPressure } from "./cgroup-io.ts";
import { cgroupExists, cgroupProcesses, countedProcesses } from "./cgroup-processes.ts";
import { cgroupStats } from "./cgroup-stats.ts";
import { createCgroup } from "./create-cgroup.ts";
import { cgroupHierarchies, hierarchiesOf, hierarchyMounts } from "./hierarchies.ts";
import { killCgroup } from "./kill-cgroup.ts";
import { limitCgroup, planLimits, weightOfShares } from "./limit-cgroup.ts";
import { parsePressure } from "./pressure.ts";
import { ownProcsFile, quickCgroupMoves } from "./quick-cgroup-moves.ts";
import { removeCgroup } from "./remove-cgroup.ts";
import { slicePath } from "./systemd-slice.ts";

/** A group of the test's own that is killed and removed at its end. */
class OwnCgroup implements AsyncDisposable {
  readonly parent = `/tripod-test-${randomHex(4)}`;
  readonly path = `${this.parent}/pod-1`;

  constructor() {
    createCgroup(this.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await killCgroup(this.parent);
    await removeCgroup(this.parent);
  }
}

/** Starts a shell in the group, which prints a line once its own children run. */
async function startIn(path: string, script: string): Promise<ChildProcess> {
  const child = spawn("sh", ["-c", `read go; ${script}`], { stdio: ["pipe", "pipe", "inherit"] });
  for (const mount of hierarchyMounts()) writeFileSync(join(mount, path, "cgroup.procs"), String(child.pid));
  child.stdin.write("go\n");
  await once(child.stdout, "data");
  return child;
}

const commandLine = (pid: number): string => readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");

test("the version is told by what is mounted", () => {
  const v1 = "1 0 0:1 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct";
  const systemd = "2 0 0:2 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd";
  const unified = "3 0 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
  const part = "4 0 0:4 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
  const versionOf = (...lines: string[]): string => hierarchiesOf(parseMountInfo(lines.join("\n"))).version;
  assert.equal(versionOf(v1, systemd), "v1");
  assert.equal(versionOf(v1, systemd, unified), "hybrid");
  assert.equal(versionOf(unified), "v2");
  assert.equal(versionOf(unified, systemd), "v2");
  const found = hierarchiesOf(parseMountInfo([v1, systemd, part].join("\n")));
  assert.equal(found.v1.get("cpuacct"), "/sys/fs/cgroup/cpu,cpuacct");
  assert.equal(found.v1.get("memory"), undefined);
});

test("pressure is parsed, also without the line that older kernels leave out", () => {
  const some = { totalUs: 42n, avg10: 1.5, avg60: 0.25, avg300: 0 };
  const none = { totalUs: 0n, avg10: 0, avg60: 0, avg300: 0 };
  const line = "some avg10=1.50 avg60=0.25 avg300=0.00 total=42";
  assert.deepEqual(parsePressure(line), { some, full: none });
  assert.deepEqual(parsePressure(`${line}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7`), {
    some,
    full: { ...none, totalUs: 7n },
  });
});

test("a slice is below the slices that its name says", () => {
  assert.equal(slicePath("a.slice"), "/a.slice");
  assert.equal(slicePath("a-b_c-d.slice"), "/a.slice/a-b_c.slice/a-b_c-d.slice");
  assert.equal(slicePath("-.slice"), "/");
  for (const wrong of ["a", "a.scope", "/a.slice", "a--b.slice", "-a.slice", "a-.slice", "../a.slice", "", ".slice"]) {
    assert.throws(
      () => slicePath(wrong),
      (error) => isTripodError(error, "invalid"),
      wrong,
    );
  }
});

test("limits become files of either version", () => {
  const limits = {
    cpuShares: 1024,
    cpuQuotaUs: 20_000,
    cpuPeriodUs: 50_000,
    memoryBytes: 1000,
    memoryAndSwapBytes: 1500,
    hugepages: [{ pageSize: "2MB", limitBytes: 4 }],
  };
  const lines = (version: "v1" | "v2", of = {}): string[] =>
    planLimits({ ...limits, ...of }, version).map(({ controller, file, value }) => `${controller} ${file}=${value}`);
  assert.deepEqual(lines("v1"), [
    "cpu cpu.shares=1024",
    "cpu cpu.cfs_period_us=50000",
    "cpu cpu.cfs_quota_us=20000",
    "memory memory.limit_in_bytes=1000",
    "memory memory.memsw.limit_in_bytes=1500",
    "hugetlb hugetlb.2MB.limit_in_bytes=4",
  ]);
  assert.deepEqual(lines("v2", { unified: { "memory.high": "900" } }), [
    "cpu cpu.weight=39",
    "cpu cpu.max=20000 50000",
    "memory memory.max=1000",
    "memory memory.swap.max=500",
    "hugetlb hugetlb.2MB.max=4",
    "memory memory.high=900",
  ]);
  assert.deepEqual([weightOfShares(2), weightOfShares(262_144)], [1, 10_000]);
  assert.throws(() => planLimits({ unified: { "memory.high": "1" } }, "v1"), /cgroup v1/);
  for (const file of ["../x", "cgroup.procs", "memory", "memory/../x.y"]) {
    assert.throws(() => planLimits({ unified: { [file]: "1" } }, "v2"), /no limit of cgroup v2/, file);
  }
});

test("limits of a group are set, raised and taken away", async () => {
  await using group = new OwnCgroup();
  const limitBytes = (): number | undefined => cgroupStats(group.path).memory?.limitBytes;
  for (const mebi of [32, 64, 16]) {
    const bytes = mebi * 1024 ** 2;
    limitCgroup(group.path, {
      memoryBytes: bytes,
      memoryAndSwapBytes: bytes,
      cpuShares: 512,
      cpuQuotaUs: 50_000,
      cpuPeriodUs: 100_000,
    });
    assert.equal(limitBytes(), bytes);
  }
  assert.throws(() => limitCgroup(group.path, { cpuQuotaUs: 1, cpuPeriodUs: 100_000 }), /cpu\.(max|cfs_quota_us)/);
  limitCgroup(group.path, { memoryAndSwapBytes: -1, memoryBytes: -1, cpuQuotaUs: -1 });
  assert.equal(limitBytes(), undefined);
  assert.throws(() => limitCgroup("/system.slice", {}), /not one of Tripod's/);
});

test("paths that leave the tree, and groups of others, are refused", () => {
  for (const path of [
    "/tripod",
    "/tripod/pod-1",
    "/tripod-1a2b/kubepods/pod x",
    "/tripod.slice/tripod-1a2b.slice",
    `/kubepods.slice/kubepods-pod1.slice/tripod-${"0a".repeat(32)}.scope`,
  ])
    assert.equal(checkOwnCgroup(path), path);
  for (const path of ["", "/", "tripod", "/tripod/", "/tripod//x", "/tripod/../x", "/tripod/.", "/tripod/a\nb"]) {
    assert.throws(
      () => checkCgroupPath(path),
      (error) => isTripodError(error, "invalid"),
      path,
    );
  }
  for (const path of [
    "/system.slice",
    "/tripods",
    "/process_api/tripod",
    "/tripod.slices",
    "/a.slice/tripod-1.scope",
  ]) {
    assert.throws(
      () => createCgroup(path),
      (error) => isTripodError(error, "permission-denied"),
      path,
    );
  }
});

test("the file by which a process is moved is found in whichever hierarchy is mounted as a whole", () => {
  const mounts = {
    version: "hybrid" as const,
    unified: "/sys/fs/cgroup/unified",
    v1: new Map([["cpu", "/sys/fs/cgroup/cpu,cpuacct"]]),
  };
  const rows: readonly [text: string, found: string | undefined][] = [
    ["3:cpu,cpuacct:/a/b\n0::/c\n", "/sys/fs/cgroup/cpu,cpuacct/a/b/cgroup.procs"],
    ["4:pids:/a\n1:name=systemd:/a\n0::/\n", "/sys/fs/cgroup/unified/cgroup.procs"],
    ["0::/../../other\n", undefined],
    ["4:pids:/a\n", undefined],
    ["", undefined],
  ];
  for (const [text, found] of rows) assert.equal(ownProcsFile(text, mounts), found, text);
});

test("getting ready to move processes moves none, and those that are wanted move meanwhile", async () => {
  const groupsOf = (pid: number | "self"): string => readFileSync(`/proc/${pid}/cgroup`, "utf8");
  await using cgroup = new OwnCgroup();
  const before = groupsOf("self");
  using _first = quickCgroupMoves();
  using _second = quickCgroupMoves();
  const child = await startIn(cgroup.path, "echo; read more");
  assert.ok(groupsOf(child.pid ?? 0).includes(cgroup.path));
  assert.equal(groupsOf("self"), before);
});

test("a group is made in every hierarchy, twice without harm, and removed with all below it", async () => {
  await using group = new OwnCgroup();
  createCgroup(group.path);
  createCgroup(`${group.path}/container-1`);
  for (const mount of hierarchyMounts()) assert(existsSync(join(mount, group.path, "container-1")), mount);
  await removeCgroup(group.parent);
  assert(!cgroupExists(group.parent));
  await removeCgroup(group.parent);
});

test("killCgroup kills all processes of the tree, and the group can then be removed", async () => {
  await using group = new OwnCgroup();
  const child = await startIn(group.path, "sleep 1000 & sleep 1000 & echo started; wait");
  assert.equal(cgroupProcesses(group.path).length, 3);
  assert.equal(cgroupProcesses(group.parent).length, 0);
  assert.equal(cgroupProcesses(group.parent, { recursive: true }).length, 3);
  const closed = once(child, "exit");
  await killCgroup(group.parent);
  assert.deepEqual(cgroupProcesses(group.parent, { recursive: true }), []);
  await closed;
  await removeCgroup(group.parent);
  await killCgroup(group.parent);
});

test("killCgroup waits for the first process of a PID namespace, which leaves its group and then waits for the others", async () => {
  await using group = new OwnCgroup();
  const child = await startIn(group.path, "unshare --pid --fork sh -c 'echo started; exec sleep 1000' & wait");
  let init: number | undefined;
  while (init === undefined) {
    init = cgroupProcesses(group.path).find((pid) => commandLine(pid).startsWith("sleep")); // once the shell has become it
    await new Promise((resolve) => setImmediate(resolve));
  }
  const first = init;
  // Somebody outside of the group has a child in there, and does not reap it.
  const parent = spawn("nsenter", ["-t", String(first), "-p", "sh", "-c", "echo inside; exec sleep 1001"]);
  await once(parent.stdout, "data");
  const inside = Number(readFileSync(`/proc/${parent.pid}/task/${parent.pid}/children`, "utf8"));
  parent.kill("SIGSTOP");
  const gone = once(parent, "exit");
  const killed = killCgroup(group.parent).then(() => processIsRunning(first));
  while (processIsRunning(inside)) await new Promise((resolve) => setImmediate(resolve)); // its end comes with that of the first one
  parent.kill("SIGCONT");
  assert.equal(await killed, false);
  await gone;
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
});

test("removeCgroup of a group in use names the processes", async () => {
  await using group = new OwnCgroup();
  const child = await startIn(group.path, "echo started; exec sleep 1000");
  await assert.rejects(removeCgroup(group.parent, { timeoutMs: 20 }), {
    code: "failed-precondition",
    message: new RegExp(`\\b${child.pid}\\b`),
  });
});

test("a process is killed that is only in the unified hierarchy", async (t) => {
  const { unified } = cgroupHierarchies();
  if (unified === undefined) return t.skip("no unified hierarchy is mounted");
  await using group = new OwnCgroup();
  const child = spawn("sleep", ["1000"]);
  writeFileSync(join(unified, group.path, "cgroup.procs"), String(child.pid));
  const closed = once(child, "exit");
  await killCgroup(group.parent);
  await closed;
});

test("stats count what the group's processes use", async () => {
  await using group = new OwnCgroup();
  const child = await startIn(
    group.path,
    "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; exec sleep 1000",
  );
  const { cpu, memory, pids } = cgroupStats(group.path);
  assert(cgroupIo(group.path).every(({ major, readBytes }) => /^\d+$/.test(major) && readBytes >= 0));
  assert.deepEqual(
    cgroupHugepages(group.path)
      .map(({ usageBytes }) => usageBytes)
      .filter((bytes) => bytes !== 0),
    [],
  );
  assert.deepEqual(countedProcesses(group.parent), [child.pid]);
  // Version 1 counts no pressure of a group.
  const isV2 = cgroupHierarchies().version === "v2" && existsSync("/proc/pressure");
  for (const pressure of [cpu?.pressure, memory?.pressure, cgroupIoPressure(group.path)]) {
    assert.equal(pressure !== undefined, isV2);
  }
  assert(cpu !== undefined && cpu.usageNs > 0n);
  assert(memory !== undefined && memory.usageBytes >= memory.workingSetBytes);
  assert.equal(memory.limitBytes, undefined);
  assert.equal(pids?.current, 1);
  assert.equal(pids?.limit, undefined);
  const absent = cgroupStats(`${group.parent}/absent`);
  assert.deepEqual(absent, { cpu: undefined, memory: undefined, pids: undefined });
  const closed = once(child, "exit");
  await killCgroup(group.path);
  await closed;
});
