import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "@tripod/base";
import { crunProgram } from "@tripod/testing";
import { noResources } from "../resources.ts";
import { buildRuntimeSpec } from "../build-runtime-spec.ts";
import { checkRuntimeSpec } from "./check-runtime-spec.ts";

const good = () => ({
  ociVersion: "1.0.2",
  root: { path: "rootfs" },
  process: { cwd: "/", args: ["/bin/sh"] },
  linux: { namespaces: [{ type: "mount" }, { type: "pid", path: "/proc/1/ns/pid" }] },
});

/** `good()` with one place changed; undefined takes it away. */
function changed(path: string, value: unknown): unknown {
  const spec: Record<string, unknown> = good();
  const keys = path.split(".");
  let at = spec;
  for (const key of keys.slice(0, -1)) {
    at[key] ??= {};
    at = at[key] as Record<string, unknown>; // the tests name places in objects
  }
  const last = keys.at(-1) ?? "";
  if (value === undefined) delete at[last];
  else at[last] = value;
  return spec;
}

test("what a spec needs is enough, and what the specification does not know is let be", () => {
  assert.deepEqual(checkRuntimeSpec(good()), []);
  assert.deepEqual(checkRuntimeSpec(changed("com.example", { any: ["thing"] })), []);
  assert.deepEqual(checkRuntimeSpec(changed("process", undefined)), []);
});

test("runc's own spec, crun's and ours pass", async () => {
  using crun = crunProgram();
  const dir = mkdtempSync("/tmp/tripod-spec-");
  try {
    for (const [program, args] of [
      ["runc", ["spec"]],
      ["runc", ["spec", "--rootless"]],
      [crun.path, ["spec"]],
    ] as const) {
      rmSync(join(dir, "config.json"), { force: true });
      await runCommand(program, args, { cwd: dir });
      assert.deepEqual(checkRuntimeSpec(JSON.parse(readFileSync(join(dir, "config.json"), "utf8"))), [], program);
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
  const ours = buildRuntimeSpec({
    rootfs: "/rootfs",
    rootReadonly: false,
    args: ["/bin/sh"],
    cwd: "/",
    environment: ["PATH=/bin"],
    terminal: true,
    user: { uid: 1, gid: 2, additionalGids: [3], home: "/" },
    noNewPrivileges: true,
    privileged: false,
    capabilities: { add: [], drop: [], ambient: [] },
    rlimits: {},
    oomScoreAdj: 0,
    namespaces: {
      network: { kind: "new" },
      ipc: { kind: "new" },
      uts: { kind: "path", path: "/run/ns/uts" },
      pid: { kind: "new" },
      cgroup: { kind: "host" },
    },
    binds: [
      { source: "/etc", destination: "/e", readonly: true, recursiveReadonly: false, propagation: "host-to-container" },
    ],
    devices: [{ hostPath: "/dev/null", containerPath: "/dev/n", permissions: "r" }],
    maskedPaths: ["/proc/kcore"],
    readonlyPaths: ["/proc/sys"],
    sysctls: { "net.ipv4.ip_forward": "1" },
    cgroupsPath: "/tripod/x",
    cgroup: { version: "hybrid", swapLimit: false, hugetlb: false },
    resources: noResources,
    seccomp: { kind: "runtime-default" },
    annotations: { "dev.tripod/x": "" },
  });
  assert.deepEqual(checkRuntimeSpec(JSON.parse(JSON.stringify(ours))), []);
});

test("each thing that is wrong is named with its place", () => {
  const rows: [place: string, value: unknown, path: string, message: RegExp][] = [
    ["ociVersion", undefined, "ociVersion", /^is missing$/],
    ["ociVersion", "2.0.0", "ociVersion", /version 1/],
    ["ociVersion", 1, "ociVersion", /^must be string, is 1$/],
    ["root", undefined, "root", /^is missing$/],
    ["root.path", "", "root.path", /folder/],
    ["process.cwd", "tmp", "process.cwd", /absolute/],
    ["process.cwd", undefined, "process.cwd", /^is missing$/],
    ["process.args", [], "process.args", /program/],
    ["process.args", ["sh", 1], "process.args.1", /^must be string, is 1$/],
    ["process.user", { uid: -1 }, "process.user.uid", /whole number from 0 to 4294967295/],
    ["process.user", { uid: 1.5 }, "process.user.uid", /whole number/],
    ["process.user", { additionalGids: [0, 2 ** 32] }, "process.user.additionalGids.1", /whole number/],
    ["process.oomScoreAdj", 1001, "process.oomScoreAdj", /from -1000 to 1000/],
    ["process.capabilities", { bounding: ["chown"] }, "process.capabilities.bounding.0", /CAP_CHOWN/],
    ["process.rlimits", [{ type: "nofile", soft: 1, hard: 1 }], "process.rlimits.0.type", /RLIMIT_NOFILE/],
    ["process.rlimits", [{ type: "RLIMIT_CPU", soft: 2, hard: 1 }], "process.rlimits.0.soft", /above the hard limit/],
    [
      "process.rlimits",
      ["RLIMIT_CPU", "RLIMIT_CPU"].map((type) => ({ type, soft: 1, hard: 1 })),
      "process.rlimits.1.type",
      /twice/,
    ],
    ["process.scheduler", { policy: "FIFO" }, "process.scheduler.policy", /SCHED_FIFO/],
    ["process.ioPriority", {}, "process.ioPriority.class", /^is missing$/],
    ["process.consoleSize", { width: 80 }, "process.consoleSize.height", /^is missing$/],
    ["hostname", "web", "hostname", /uts namespace/],
    ["mounts", {}, "mounts", /^must be Array, is Object$/],
    ["mounts", [{ source: "/x" }], "mounts.0.destination", /^is missing$/],
    ["mounts", [{ destination: "/x", uidMappings: [] }], "mounts.0", /together/],
    ["hooks", { prestart: [{ path: "true" }] }, "hooks.prestart.0.path", /absolute/],
    ["hooks", { poststop: [{ path: "/bin/true", timeout: 0 }] }, "hooks.poststop.0.timeout", /from 1/],
    ["annotations", { "": "x" }, "annotations.", /empty key/],
    ["annotations", { x: 1 }, "annotations.x", /^must be string, is 1$/],
    ["linux.namespaces", [{ type: "net" }], "linux.namespaces.0.type", /network/],
    ["linux.namespaces", [{ type: "pid" }, { type: "pid" }], "linux.namespaces.1.type", /pid is there twice/],
    ["linux.namespaces", [{ type: "pid", path: "ns/pid" }], "linux.namespaces.0.path", /absolute/],
    ["linux.namespaces", [{ type: "user" }], "linux.uidMappings", /must map ids/],
    ["linux.uidMappings", [{ containerID: 0, hostID: 1, size: 1 }], "linux.uidMappings", /user namespace/],
    ["linux.gidMappings", [{ containerID: 0, hostID: 1 }], "linux.gidMappings.0.size", /^is missing$/],
    ["linux.timeOffsets", {}, "linux.timeOffsets", /time namespace/],
    ["linux.devices", [{ path: "/dev/x", type: "c" }], "linux.devices.0", /major and minor/],
    ["linux.devices", [{ path: "/dev/x", type: "x" }], "linux.devices.0.type", /one of c, b, u, p/],
    [
      "linux.devices",
      [0, 1].map(() => ({ path: "/dev/x", type: "p" })),
      "linux.devices.1.path",
      /\/dev\/x is there twice/,
    ],
    ["linux.maskedPaths", ["proc"], "linux.maskedPaths.0", /absolute/],
    ["linux.rootfsPropagation", "none", "linux.rootfsPropagation", /rshared/],
    ["linux.intelRdt", { memBwSchema: "L3:0" }, "linux.intelRdt.memBwSchema", /MB:/],
    ["linux.resources", { devices: [{ access: "x", allow: true }] }, "linux.resources.devices.0.access", /r, w and m/],
    [
      "linux.resources",
      { hugepageLimits: [{ pageSize: "2M", limit: 1 }] },
      "linux.resources.hugepageLimits.0.pageSize",
      /2MB/,
    ],
    ["linux.resources", { pids: {} }, "linux.resources.pids.limit", /^is missing$/],
    ["linux.resources", { cpu: { quota: 10, burst: 11 } }, "linux.resources.cpu.burst", /above the quota/],
    ["linux.resources", { memory: { limit: 10, swap: 9 } }, "linux.resources.memory.swap", /below the limit/],
    ["linux.resources", { rdma: { mlx5: {} } }, "linux.resources.rdma.mlx5", /hcaHandles/],
    [
      "linux.resources",
      { blockIO: { weightDevice: [{ major: 8, minor: 0 }] } },
      "linux.resources.blockIO.weightDevice.0",
      /weight/,
    ],
    ["linux.seccomp", { defaultAction: "ALLOW" }, "linux.seccomp.defaultAction", /SCMP_ACT_ALLOW/],
    ["linux.seccomp", { defaultAction: "SCMP_ACT_ALLOW", defaultErrnoRet: 1 }, "linux.seccomp", /returns none/],
    ["linux.seccomp", { defaultAction: "SCMP_ACT_ALLOW", listenerMetadata: "x" }, "linux.seccomp", /listenerPath/],
    [
      "linux.seccomp",
      { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: [], action: "SCMP_ACT_LOG" }] },
      "linux.seccomp.syscalls.0.names",
      /system call/,
    ],
  ];
  for (const [place, value, path, message] of rows) {
    const problems = checkRuntimeSpec(changed(place, value));
    const found = problems.find((problem) => problem.path === path);
    assert.ok(found, `${place} = ${JSON.stringify(value)}: ${JSON.stringify(problems)}`);
    assert.match(found.message, message);
    assert.equal(problems.length <= 2, true, JSON.stringify(problems));
  }
});

test("what is no object at all, and what has more wrong than anybody reads, ends soon", () => {
  for (const value of [null, 7, "spec", [], true]) assert.notEqual(checkRuntimeSpec(value).length, 0);
  const mounts = Array.from({ length: 100_000 }, () => ({}));
  assert.equal(checkRuntimeSpec({ ...good(), mounts }).length, 100);
});
