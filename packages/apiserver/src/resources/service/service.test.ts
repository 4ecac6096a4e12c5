import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Service } from "@tripod/api/kubernetes";
import { TestServer, textOf } from "../../testing/test-server.ts";

let server: TestServer;
before(async () => {
  server = await TestServer.start();
});
after(() => server[Symbol.asyncDispose]());

const path = "/api/v1/namespaces/default/services";
const post = (name: string, spec: object) => server.post(path, { metadata: { name }, spec });
const http = [{ port: 80 }];

test("a Service gets its type, its ports' protocol and target, and its address as a list", async () => {
  const made = (await post("web", { clusterIP: "None", ports: http })).body as unknown as Service;
  assert.deepEqual(made.spec, {
    type: "ClusterIP",
    clusterIP: "None",
    clusterIPs: ["None"],
    ports: [{ port: 80, protocol: "TCP", targetPort: 80 }],
    sessionAffinity: "None",
    internalTrafficPolicy: "Cluster",
  });
  assert.deepEqual(made.status, { loadBalancer: {} });
  const balanced = { type: "LoadBalancer", sessionAffinity: "ClientIP", clusterIPs: ["10.0.0.1"], ports: http };
  const { spec } = (await post("balanced", balanced)).body as unknown as Service;
  assert.deepEqual(spec.sessionAffinityConfig, { clientIP: { timeoutSeconds: 10_800 } });
  assert.deepEqual(
    [spec.clusterIP, spec.externalTrafficPolicy, spec.allocateLoadBalancerNodePorts],
    ["10.0.0.1", "Cluster", true],
  );
});

for (const [why, spec, warning] of [
  ["without an address", { ports: http }, /kept, but it gets no cluster IP, and is not served/],
  ["with an address", { ports: http, clusterIP: "10.0.0.9" }, /the cluster IP 10\.0\.0\.9 is not served/],
  ["that is headless", { clusterIP: "None" }, undefined],
  ["that is a name", { type: "ExternalName", externalName: "db.example.com" }, undefined],
] as const)
  test(`of a Service ${why} ${warning === undefined ? "nothing is warned" : "a warning says what is not done"}`, async () => {
    const reply = await post(`w-${why.replaceAll(" ", "-")}`, spec);
    assert.equal(reply.code, 201, reply.text);
    if (warning === undefined) assert.equal(reply.headers.warning, undefined);
    else assert.match(textOf(reply.headers.warning), warning);
  });

for (const [why, spec, message] of [
  ["no port", {}, /spec\.ports: Required value/],
  ["a port of none", { ports: [{ port: 0 }] }, /spec\.ports\[0\]\.port: Invalid value: 0: must be between 1 and 65535/],
  ["two ports without names", { ports: [{ port: 1 }, { port: 2 }] }, /spec\.ports\[1\]\.name: Required value/],
  [
    "one port twice",
    {
      ports: [
        { name: "a", port: 1 },
        { name: "b", port: 1 },
      ],
    },
    /spec\.ports\[1\]: Duplicate value/,
  ],
  ["an unknown protocol", { ports: [{ port: 1, protocol: "ICMP" }] }, /protocol: Unsupported value: "ICMP"/],
  ["a target that is no name", { ports: [{ port: 1, targetPort: "A port" }] }, /targetPort: Invalid value: "A port"/],
  ["an unknown type", { type: "Mesh", ports: http }, /spec\.type: Unsupported value: "Mesh"/],
  ["a wrong address", { clusterIP: "ten", ports: http }, /spec\.clusterIPs\[0\]: Invalid value: "ten"/],
  ["two first addresses", { clusterIP: "10.0.0.1", clusterIPs: ["10.0.0.2"], ports: http }, /first value must match/],
  [
    "a headless NodePort",
    { type: "NodePort", clusterIP: "None", ports: http },
    /may not be set to 'None' for NodePort/,
  ],
  ["a node's port that is not asked for", { ports: [{ port: 1, nodePort: 30_000 }] }, /nodePort: Forbidden/],
  ["an external name of none", { type: "ExternalName" }, /spec\.externalName: Required value/],
  [
    "a name with an address",
    { type: "ExternalName", externalName: "a", clusterIP: "10.0.0.1" },
    /clusterIP: Forbidden/,
  ],
  [
    "an affinity of no time",
    { ports: http, sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } } },
    /timeoutSeconds: Invalid value: 0: must be greater than 0/,
  ],
  ["a selector", { ports: http, selector: { "a b": "c" } }, /spec\.selector: Invalid value: "a b"/],
] as const)
  test(`a Service is refused for ${why}`, async () => {
    const reply = await post("refused", spec);
    assert.equal(reply.code, 422, reply.text);
    assert.match(textOf(reply.body.message), message);
  });

test("an address stays: left out it is kept, and it is not changed; the status has its own path", async () => {
  await post("stays", { clusterIP: "None", ports: http });
  const replaced = await server.put(`${path}/stays`, { metadata: { name: "stays" }, spec: { ports: [{ port: 81 }] } });
  const { spec } = replaced.body as unknown as Service;
  assert.deepEqual([spec.clusterIP, spec.clusterIPs, spec.ports?.[0]?.port], ["None", ["None"], 81]);
  const moved = { spec: { clusterIP: "10.0.0.1", clusterIPs: ["10.0.0.1"] } };
  assert.match((await server.patch(`${path}/stays`, "merge", moved)).text, /may not change once set/);
  const status = { loadBalancer: { ingress: [{ ip: "192.0.2.1" }] } };
  assert.equal((await server.patch(`${path}/stays/status`, "merge", { status })).code, 200);
  assert.match((await server.get(`${path}/stays`)).text, /192\.0\.2\.1/);
  assert.match((await server.get(`${path}?fieldSelector=spec.clusterIP=None`)).text, /"stays"/);
});
