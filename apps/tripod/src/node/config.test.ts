import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { isTripodError, layoutOf } from "@tripod/base";
import { loadConfig } from "./config.ts";

const dir = mkdtempSync("/tmp/tripod-config-");
after(() => rmSync(dir, { recursive: true }));
const layout = layoutOf(dir);
mkdirSync(layout.etcDir);

test("no file is as good as an empty one", () => {
  assert.deepEqual(loadConfig(layout), { logLevel: "info", cri: {}, apiserver: {}, storage: {}, network: {} });
  writeFileSync(layout.configFile, "");
  assert.deepEqual(loadConfig(layout), { logLevel: "info", cri: {}, apiserver: {}, storage: {}, network: {} });
});

test("runtime handlers come as they are written; one that says nothing is one all the same", () => {
  writeFileSync(
    layout.configFile,
    "cri: {defaultHandler: crun, handlers: {crun: , runsc: {arguments: [--network=none]}}}",
  );
  assert.deepEqual(loadConfig(layout).cri, {
    defaultHandler: "crun",
    handlers: { crun: {}, runsc: { arguments: ["--network=none"] } },
  });
});

test("what containers get by default: limits, devices", () => {
  writeFileSync(
    layout.configFile,
    "cri: {defaultRlimits: {nofile: {soft: 1024, hard: unlimited}}, cdiSpecDirs: [/srv/cdi], handlers: {runc: {defaultRlimits: {CORE: {soft: 0, hard: 0}}}}}",
  );
  assert.deepEqual(loadConfig(layout).cri, {
    defaultRlimits: { nofile: { soft: 1024, hard: "unlimited" } },
    cdiSpecDirs: ["/srv/cdi"],
    handlers: { runc: { defaultRlimits: { CORE: { soft: 0, hard: 0 } } } },
  });
});

test("cgroup driver and metrics are chosen from what there is", () => {
  writeFileSync(layout.configFile, "cri: {cgroupDriver: systemd, metrics: [cpu, diskIO]}");
  assert.deepEqual(loadConfig(layout).cri, { cgroupDriver: "systemd", metrics: ["cpu", "diskIO"] });
});

test("a snapshotter is chosen from what there is", () => {
  writeFileSync(layout.configFile, "cri: {snapshotter: fuse-overlayfs}");
  assert.deepEqual(loadConfig(layout).cri, { snapshotter: "fuse-overlayfs" });
});

test("which images start containers before they are whole", () => {
  writeFileSync(layout.configFile, "cri: {lazyStart: annotation}");
  assert.deepEqual(loadConfig(layout).cri, { lazyStart: "annotation" });
});

test("where NRI plugins connect, and how long they are waited for", () => {
  writeFileSync(layout.configFile, "cri: {nri: {socket: /var/run/nri/nri.sock, requestTimeoutMs: 4000}}");
  assert.deepEqual(loadConfig(layout).cri, { nri: { socket: "/var/run/nri/nri.sock", requestTimeoutMs: 4000 } });
});

test("how much containers may write into their root file systems", () => {
  writeFileSync(layout.configFile, "cri: {writableLayer: {maxSizeBytes: 1073741824, allowAnnotation: true}}");
  assert.deepEqual(loadConfig(layout).cri, { writableLayer: { maxSizeBytes: 1_073_741_824, allowAnnotation: true } });
});

const bad: [why: string, text: string, message: RegExp][] = [
  ["a key that does not exist", "apiserver: {prot: 1}", /config\.yaml: apiserver\.prot: there is no such setting/],
  ["a socket that is no absolute path", "cri: {nri: {socket: nri.sock}}", /cri\.nri\.socket: must be absolute/],
  ["a time that is none", "cri: {nri: {requestTimeoutMs: 0}}", /cri\.nri\.requestTimeoutMs/],
  [
    "a root file system too small",
    "cri: {writableLayer: {maxSizeBytes: 1000}}",
    /maxSizeBytes: must be whole, from 1 Mi/,
  ],
  ["a port out of range", "apiserver: {port: 70000}", /apiserver\.port/],
  ["a subnet that is none", "network: {podCidr: 10.0.0.0}", /network\.podCidr: must be an IPv4 subnet/],
  ["a handler's setting that does not exist", "cri: {handlers: {a: {prog: b}}}", /cri\.handlers\.a\.prog: there is no/],
  ["a limit that Linux has not", "cri: {defaultRlimits: {files: {soft: 1, hard: 1}}}", /files is no limit of Linux/],
  [
    "a soft limit above the hard one",
    "cri: {defaultRlimits: {core: {soft: 2, hard: 1}}}",
    /core: the soft limit is above/,
  ],
  ["a limit that is no number", "cri: {defaultRlimits: {core: {soft: many, hard: 1}}}", /core\.soft: .*"unlimited"/],
  ["a cgroup driver that there is not", "cri: {cgroupDriver: cgroup}", /cri\.cgroupDriver/],
  ["a snapshotter that there is not", "cri: {snapshotter: zfs}", /cri\.snapshotter: .*"native"/],
  ["a lazy start that there is not", "cri: {lazyStart: maybe}", /cri\.lazyStart/],
  ["text that is no YAML", "a: [1,\nb: 2", /config\.yaml:2/],
  ["a list", "- a", /config\.yaml/],
];
for (const [why, text, message] of bad) {
  test(`a wrong configuration is refused: ${why}`, () => {
    writeFileSync(layout.configFile, text);
    assert.throws(
      () => loadConfig(layout),
      (error) => isTripodError(error, "invalid") && message.test(error.message),
    );
  });
}
