import assert from "node:assert/strict";
import { test } from "node:test";
import { buildCapabilities } from "./capabilities.ts";
import { buildDevices } from "./devices.ts";
import { buildEnvironment } from "./environment.ts";
import { buildMounts, type BindRequest, rootPropagation } from "./mounts.ts";
import { clampOomScore } from "./oom-score.ts";
import { buildResources, noResources } from "./resources.ts";

const grantable = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN"];
const nothing = { privileged: false, add: [], drop: [], ambient: [] };

test("capabilities: the default is clamped to what can be granted", () => {
  assert.deepEqual(buildCapabilities(nothing, grantable).bounding, ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"]);
});
test("capabilities: names with and without CAP_, dropping after ALL", () => {
  const sets = buildCapabilities({ ...nothing, add: ["all"], drop: ["net_raw", "CAP_KILL"] }, grantable);
  assert.deepEqual(sets.effective, ["CAP_CHOWN", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"]);
});
test("capabilities: dropping ALL keeps what is added by name", () => {
  const sets = buildCapabilities({ ...nothing, add: ["NET_ADMIN"], drop: ["ALL"] }, grantable);
  assert.deepEqual(sets.permitted, ["CAP_NET_ADMIN"]);
  assert.deepEqual(sets.ambient, []);
});
test("capabilities: ambient ones are inheritable too", () => {
  const sets = buildCapabilities({ ...nothing, ambient: ["NET_ADMIN"] }, grantable);
  assert.deepEqual([sets.ambient, sets.inheritable], [["CAP_NET_ADMIN"], ["CAP_NET_ADMIN"]]);
});
test("capabilities: unknown and ungrantable names are refused", () => {
  assert.throws(() => buildCapabilities({ ...nothing, add: ["MAGIC"] }, grantable), /"MAGIC" is no Linux capability/);
  assert.throws(() => buildCapabilities({ ...nothing, add: ["SYS_RESOURCE"] }, grantable), /CAP_SYS_RESOURCE cannot/);
});

test("environment: the request wins over the image, which wins over the defaults", () => {
  const environment = buildEnvironment({
    image: ["PATH=/image", "A=1", "=bad", "B"],
    own: ["A=2", "C=x=y"],
    terminal: true,
    hostname: "h",
    home: "/root",
  });
  assert.deepEqual(environment, ["PATH=/image", "TERM=xterm", "HOSTNAME=h", "HOME=/root", "A=2", "B=", "C=x=y"]);
});

const bind = (destination: string, change: Partial<BindRequest> = {}): BindRequest => ({
  destination,
  source: "/src",
  readonly: false,
  recursiveReadonly: false,
  propagation: "private",
  ...change,
});

test("mounts: parents before what lies in them, and a bind in place of a system mount", () => {
  const mounts = buildMounts({ privileged: false, binds: [bind("/a/b/c"), bind("/a"), bind("/dev/mqueue")] });
  const destinations = mounts.map(({ destination }) => destination);
  assert.ok(destinations.indexOf("/a") < destinations.indexOf("/a/b/c"));
  assert.equal(mounts.filter(({ destination }) => destination === "/dev/mqueue").length, 1);
  assert.equal(mounts.find(({ destination }) => destination === "/dev/mqueue")?.type, "bind");
});
test("mounts: access and propagation become options", () => {
  const options = (change: Partial<BindRequest>) =>
    buildMounts({ privileged: false, binds: [bind("/x", change)] }).at(-1)?.options;
  assert.deepEqual(options({ readonly: true }), ["rbind", "rprivate", "ro"]);
  assert.deepEqual(options({ readonly: true, recursiveReadonly: true }), ["rbind", "rprivate", "rro"]);
  assert.deepEqual(options({ propagation: "bidirectional" }), ["rbind", "rshared", "rw"]);
  assert.equal(rootPropagation([bind("/x"), bind("/y", { propagation: "host-to-container" })]), "rslave");
  assert.equal(rootPropagation([bind("/x")]), undefined);
});
test("mounts: /sys is read-only unless somebody beside may write, the cgroups unless asked for otherwise", () => {
  const access = (change: Partial<Parameters<typeof buildMounts>[0]>) =>
    buildMounts({ privileged: false, binds: [], ...change })
      .filter(({ destination }) => destination.startsWith("/sys"))
      .map(({ options }) => options.at(-1));
  assert.deepEqual(access({}), ["ro", "ro"]);
  assert.deepEqual(access({ cgroupWritable: true }), ["ro", "rw"]);
  assert.deepEqual(access({ sysWritable: true }), ["rw", "ro"]);
  assert.deepEqual(access({ privileged: true }), ["rw", "rw"]);
});

test("mounts: relative and doubled destinations are refused", () => {
  assert.throws(() => buildMounts({ privileged: false, binds: [bind("x")] }), /not absolute/);
  assert.throws(() => buildMounts({ privileged: false, binds: [bind("/x"), bind("/x")] }), /asked for twice/);
});

test("devices: a node with its numbers and a rule of its own", () => {
  const { devices, rules } = buildDevices({
    host: "none",
    devices: [{ hostPath: "/dev/null", containerPath: "/dev/hole", permissions: "rw" }],
  });
  assert.deepEqual(
    devices.map(({ path, type, major, minor }) => [path, type, major, minor]),
    [["/dev/hole", "c", 1, 3]],
  );
  assert.deepEqual(rules, [
    { allow: false, access: "rwm" },
    { allow: true, type: "c", major: 1, minor: 3, access: "rw" },
  ]);
});
test("devices: what is missing, no device, or badly permitted is refused", () => {
  const ask =
    (hostPath: string, permissions = "rw") =>
    () =>
      buildDevices({ host: "none", devices: [{ hostPath, containerPath: hostPath, permissions }] });
  assert.throws(ask("/dev/absent-device"), /no such path/);
  assert.throws(ask("/etc/hostname"), /not a device/);
  assert.throws(ask("/dev/null", "rx"), /not of "rwm"/);
});

const v1 = { version: "hybrid", swapLimit: true, hugetlb: false } as const;
test("resources: unset stays unset, a memory limit forbids swap", () => {
  assert.deepEqual(buildResources(noResources, v1), {});
  assert.deepEqual(buildResources({ ...noResources, memoryLimitBytes: 1000, cpuShares: 1, cpuQuotaUs: -1 }, v1), {
    cpu: { shares: 2, quota: -1 },
    memory: { limit: 1000, swap: 1000 },
  });
  assert.deepEqual(buildResources({ ...noResources, memoryLimitBytes: 1000 }, { ...v1, swapLimit: false }), {
    memory: { limit: 1000 },
  });
});
test("resources: what the machine cannot limit is refused, but for huge pages, which are had without a limit", () => {
  assert.throws(() => buildResources({ ...noResources, unified: { "memory.high": "1" } }, v1), /cgroup v1/);
  const huge = { ...noResources, hugepageLimits: [{ pageSize: "2MB", limitBytes: 1 }] };
  assert.deepEqual(buildResources(huge, v1), {});
  assert.deepEqual(buildResources(huge, { ...v1, hugetlb: true }), { hugepageLimits: [{ pageSize: "2MB", limit: 1 }] });
});

test("clampOomScore goes no lower than this process may without CAP_SYS_RESOURCE", () => {
  assert.equal(clampOomScore(-500, { sysResource: true }), -500);
  assert.equal(clampOomScore(-500, { sysResource: false, own: 0 }), 0);
  assert.equal(clampOomScore(-500, { sysResource: false, own: -900 }), -500);
  assert.equal(clampOomScore(5000, { sysResource: false, own: 0 }), 1000);
});
