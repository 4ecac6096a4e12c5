import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { CgroupDriver, ContainerState, NamespaceMode } from "@tripod/api/cri";
import { isTripodError, layoutOf, randomHex } from "@tripod/base";
import { cgroupExists, cgroupProcesses, cgroupStats, stopSlice, systemdIsInit } from "@tripod/linux";
import { startTestNode } from "../testing/test-node.ts";
import {
  cgroupDriverOf,
  cgroupOfSpec,
  cgroupsPathInSpec,
  containerCgroup,
  isScope,
  ownCgroup,
  parentCgroup,
} from "./cgroup-driver.ts";

const layout = layoutOf("/tmp/x");
const id = "0a".repeat(32);

test("cgroupfs: parents are absolute paths, containers folders below them", () => {
  const from = { cgroupDriver: "cgroupfs", layout } as const;
  assert.equal(cgroupDriverOf({}), "cgroupfs");
  assert.equal(ownCgroup(from, id), `${layout.cgroupParent}/${id}`);
  assert.equal(parentCgroup(from, "/kubepods/pod1"), "/kubepods/pod1");
  assert.equal(containerCgroup(from, "/kubepods.slice", id), `/kubepods.slice/${id}`);
  assert.equal(cgroupsPathInSpec(`/kubepods/pod1/${id}`), `/kubepods/pod1/${id}`);
  assert.equal(cgroupOfSpec(`/kubepods/pod1/${id}`), `/kubepods/pod1/${id}`);
  for (const wrong of ["kubepods", "a.slice", "/a/../b"]) {
    assert.throws(
      () => parentCgroup(from, wrong),
      (error) => isTripodError(error, "invalid"),
      wrong,
    );
  }
});

test("systemd: parents are slices, containers scopes in them, and config.json asks systemd for them", () => {
  const from = { cgroupDriver: "systemd", layout } as const;
  const pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice";
  assert.equal(parentCgroup(from, "kubepods-burstable-pod1_2.slice"), pod);
  assert.equal(parentCgroup(from, pod), pod, "kubelets give the whole path");
  assert.equal(ownCgroup(from, id), `/tripod.slice${layout.cgroupParent}.slice${layout.cgroupParent}-${id}.slice`);
  const container = containerCgroup(from, pod, id);
  assert.equal(container, `${pod}/tripod-${id}.scope`);
  assert.equal(cgroupsPathInSpec(container), `kubepods-burstable-pod1_2.slice:tripod:${id}`);
  assert.equal(cgroupOfSpec(cgroupsPathInSpec(container)), container);
  assert.equal(isScope(container), true);
  assert.equal(containerCgroup(from, "/tripod/1", id), `/tripod/1/${id}`, "made before the driver was changed");
  for (const wrong of ["/kubepods/pod1", "a--b.slice", "a.scope"]) {
    assert.throws(
      () => parentCgroup(from, wrong),
      (error) => isTripodError(error, "invalid"),
      wrong,
    );
  }
});

test("systemd as driver is refused where systemd is not init", (t) => {
  if (systemdIsInit()) return t.skip("systemd is init here");
  assert.throws(() => cgroupDriverOf({ cgroupDriver: "systemd" }), /not init/);
});

const units = (): string => {
  const { stdout, stderr } = spawnSync("systemctl", [
    "list-units",
    "--all",
    "--plain",
    "--no-legend",
    "tripod-*",
    "kubepods-*",
  ]);
  assert.equal(String(stderr), "");
  return String(stdout);
};

test("with systemd's driver a kubelet's slice holds the Pod's scopes, and no unit is left of it", async (t) => {
  if (!systemdIsInit()) return t.skip("systemd is not init");
  await using node = await startTestNode({ subnet: "10.80.0.0/24", config: { cgroupDriver: "systemd" } });
  const { runtime } = node;
  assert.equal((await runtime.runtimeConfig({})).linux?.cgroupDriver, CgroupDriver.SYSTEMD);
  const slice = `kubepods-pod${randomHex(4)}.slice`;
  const parent = `/kubepods.slice/${slice}`;
  const securityContext = { namespaceOptions: { pid: NamespaceMode.POD } };
  const config = node.sandboxConfig({ linux: { cgroupParent: parent, securityContext } });
  const { podSandboxId } = await runtime.runPodSandbox({ config });
  assert.equal(cgroupProcesses(`${parent}/tripod-${podSandboxId}-init.scope`).length, 1);
  const limits = { memoryLimitInBytes: 32n * 1024n ** 2n };
  const containerId = await node.run(podSandboxId, "sleep 1000 & wait", {
    linux: { resources: limits, securityContext },
  });
  const cgroup = `${parent}/tripod-${containerId}.scope`;
  // The shell has a child a moment after it has itself been started; nothing tells.
  while (cgroupProcesses(cgroup).length < 2) await delay(10);
  assert.equal(cgroupStats(cgroup).memory?.limitBytes, Number(limits.memoryLimitInBytes));
  assert.match(units(), new RegExp(`tripod-${containerId}\\.scope\\s+loaded\\s+active`));
  await runtime.updateContainerResources({ containerId, linux: { memoryLimitInBytes: 64n * 1024n ** 2n } });
  assert.equal(cgroupStats(cgroup).memory?.limitBytes, 64 * 1024 ** 2);
  const { stdout } = await runtime.execSync({ containerId, cmd: ["cat", "/proc/self/cgroup"], timeout: 60n });
  assert.match(new TextDecoder().decode(stdout), new RegExp(`tripod-${containerId}\\.scope|:/$`, "m"));
  const { stats } = await runtime.podSandboxStats({ podSandboxId });
  assert.equal(stats?.linux?.process?.processCount?.value, 3n);
  const hungry = await node.run(podSandboxId, "exec tail /dev/zero", { linux: { resources: limits, securityContext } });
  assert.equal((await node.reached(hungry, ContainerState.CONTAINER_EXITED)).reason, "OOMKilled");
  await runtime.stopContainer({ containerId, timeout: 0n });
  assert.equal(cgroupProcesses(cgroup).length, 0);
  await runtime.removePodSandbox({ podSandboxId });
  assert.equal(cgroupExists(cgroup), false);
  await stopSlice(slice);

  const own = await runtime.runPodSandbox({ config: node.sandboxConfig() });
  await node.run(own.podSandboxId, "sleep 1000");
  assert.match(units(), new RegExp(`-${own.podSandboxId}\\.slice\\s+loaded\\s+active`));
  await runtime.removePodSandbox({ podSandboxId: own.podSandboxId });
  assert.doesNotMatch(units(), /\.scope|failed/);
  assert.doesNotMatch(units(), new RegExp(own.podSandboxId));
  assert.deepEqual(node.leaks(), []);
});
