import assert from "node:assert/strict";
import { CgroupDriver } from "@tripod/api/cri";
import { notImplemented, topic } from "../suite/spec.ts";

export const runtimeInfo = topic("runtime information", {
  async "Version names the runtime, its version and v1 of the interface"({ runtime }) {
    const { version, runtimeName, runtimeVersion, runtimeApiVersion } = await runtime.version({ version: "v1" });
    assert.notEqual(version, "");
    assert.notEqual(runtimeName, "");
    assert.notEqual(runtimeVersion, "");
    assert.equal(runtimeApiVersion, "v1");
  },
  async "Status says that runtime and network are ready"({ runtime }) {
    const { status } = await runtime.status({});
    for (const type of ["RuntimeReady", "NetworkReady"]) {
      const condition = status?.conditions.find((one) => one.type === type);
      assert.ok(condition, `there is no condition ${type}`);
      assert.ok(condition.status, `${type} is false: ${condition.reason} ${condition.message}`);
    }
  },
  async "Status tells more only when it is asked to"({ runtime }) {
    assert.deepEqual(Object.keys((await runtime.status({ verbose: false })).info), []);
    assert.notDeepEqual(Object.keys((await runtime.status({ verbose: true })).info), []);
  },
  async "Status lists the runtime handlers, the default one by an empty name"(world) {
    const { runtimeHandlers } = await world.runtime.status({});
    if (runtimeHandlers.length === 0) notImplemented("Status lists no runtime handlers");
    const names = runtimeHandlers.map(({ name }) => name);
    assert.ok(names.includes(""), `the default handler is not among ${names.join(", ")}`);
    assert.equal(new Set(names).size, names.length, "a handler is listed twice");
    for (const { name, features } of runtimeHandlers) assert.ok(features, `handler ${name} has no features`);
  },
  async "RuntimeConfig tells the cgroup driver"({ runtime }) {
    const { linux } = await runtime.runtimeConfig({});
    assert.ok(linux, "there is nothing about Linux");
    assert.ok(linux.cgroupDriver === CgroupDriver.CGROUPFS || linux.cgroupDriver === CgroupDriver.SYSTEMD);
  },
  async "UpdateRuntimeConfig without a Pod range changes nothing and succeeds"({ runtime }) {
    await runtime.updateRuntimeConfig({ runtimeConfig: { networkConfig: {} } });
    await runtime.updateRuntimeConfig({ runtimeConfig: {} });
  },
});
