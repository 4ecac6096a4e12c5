import assert from "node:assert/strict";
import { test } from "node:test";
import { serviceVariables } from "../objects/service-variables.ts";
import { withDriver, withNodeId } from "../plugins/csi-registrar.ts";
import { allocatableOf } from "./node-object.ts";
import { nodeConditions } from "./node-conditions.ts";
import { runtimeAbilities } from "./runtime-abilities.ts";

const calm = { memory: false, disk: false, pids: false };

test("the node is not Ready while its network is not, and says the runtime's reason", () => {
  const conditions = [
    { type: "RuntimeReady", status: true, reason: "", message: "" },
    { type: "NetworkReady", status: false, reason: "NetworkPluginNotReady", message: "bad.conflist:3: not JSON" },
  ];
  const found = nodeConditions({ runtime: { kind: "answered", conditions }, pressure: calm, before: [], nowMs: 0 });
  const ready = found.find(({ type }) => type === "Ready");
  assert.equal(ready?.status, "False");
  assert.equal(
    ready?.message,
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:bad.conflist:3: not JSON",
  );
});

test("a runtime that does not answer, and resources that run short, are conditions", () => {
  const runtime = { kind: "silent", message: "connection refused" } as const;
  const found = nodeConditions({ runtime, pressure: { ...calm, disk: true }, before: [], nowMs: 0 });
  assert.deepEqual(
    found.map(({ type, status }) => `${type}=${status}`),
    ["MemoryPressure=False", "DiskPressure=True", "PIDPressure=False", "Ready=False"],
  );
});

test("a driver is put into a CSINode's list, replaced and taken out", () => {
  const one = withDriver([], "d", { name: "d", nodeId: "n", maxVolumes: 0, segments: { b: "1", a: "2" } });
  assert.deepEqual(one, [{ name: "d", nodeID: "n", topologyKeys: ["a", "b"] }]);
  assert.deepEqual(withDriver([...one, { name: "e", nodeID: "x" }], "d"), [{ name: "e", nodeID: "x" }]);
  assert.equal(withNodeId('{"e":"x"}', "d", "n"), '{"e":"x","d":"n"}');
  assert.equal(withNodeId('{"d":"x"}', "d"), null);
  assert.equal(withNodeId("garbage", "d", "n"), '{"d":"n"}');
});

test("services become variables", () => {
  const service = (namespace: string, name: string, clusterIP: string) => ({
    metadata: { namespace, name },
    spec: { clusterIP, ports: [{ name: "http", port: 80 }] },
  });
  const services = [
    service("default", "kubernetes", "10.96.0.1"),
    service("shop", "my-db", "10.96.0.2"),
    service("shop", "headless", "None"),
  ];
  const found = serviceVariables(services, { namespace: "shop", links: true });
  assert.equal(found.get("KUBERNETES_SERVICE_HOST"), "10.96.0.1");
  assert.equal(found.get("MY_DB_SERVICE_PORT_HTTP"), "80");
  assert.equal(found.get("MY_DB_PORT_80_TCP_ADDR"), "10.96.0.2");
  assert.equal(found.has("HEADLESS_SERVICE_HOST"), false);
  assert.equal(serviceVariables(services, { namespace: "shop", links: false }).has("MY_DB_SERVICE_HOST"), false);
});

test("huge pages are resources of their own, and no memory for others", () => {
  const machine = {
    cpuCount: 2,
    memoryBytes: 1024 ** 3,
    diskBytes: 0,
    hugePages: [
      { pageBytes: 2 * 1024 ** 2, pages: 4 },
      { pageBytes: 1024 ** 3, pages: 0 },
    ],
    architecture: "",
    kernelVersion: "",
    osImage: "",
    machineId: "",
    bootId: "",
    systemUuid: "",
  };
  const { memory, "hugepages-2Mi": two, "hugepages-1Gi": one } = allocatableOf(machine);
  assert.deepEqual({ memory, two, one }, { memory: `${(1024 - 100 - 8) * 1024}Ki`, two: "8Mi", one: "0" });
});

test("what the runtime says of its handlers and features stands in the Node, and nothing of one that says nothing", () => {
  const of = { recursiveReadOnlyMounts: true, userNamespaces: false };
  const handlers = [{ name: "runsc" }, { name: "", features: of }];
  assert.deepEqual(runtimeAbilities({ runtimeHandlers: handlers, features: { supplementalGroupsPolicy: true } }), {
    runtimeHandlers: [{ name: "", features: of }, { name: "runsc" }],
    features: { supplementalGroupsPolicy: true },
  });
  assert.deepEqual(runtimeAbilities({ runtimeHandlers: [] }), {});
});
