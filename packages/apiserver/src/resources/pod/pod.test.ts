import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { ContainerStatus, Pod } from "@tripod/api/kubernetes";
import { TestServer, testPod, textOf } from "../../testing/test-server.ts";
import { podText } from "./pod-text.ts";
import { qosClass } from "./qos-class.ts";

let server: TestServer;
before(async () => {
  server = await TestServer.start();
});
after(() => server[Symbol.asyncDispose]());

const pods = "/api/v1/namespaces/default/pods";
const container = { name: "c", image: "i:1" };

// Each message as kubectl shows it: `The Pod "x" is invalid: ` and this.
for (const [why, spec, message] of [
  ["no containers", { containers: [] }, "spec.containers: Required value"],
  ["no image", { containers: [{ name: "c" }] }, "spec.containers[0].image: Required value"],
  ["no name", { containers: [{ image: "i" }] }, "spec.containers[0].name: Required value"],
  [
    "a name in capitals",
    { containers: [{ ...container, name: "C" }] },
    /^spec\.containers\[0\]\.name: Invalid value: "C": a lowercase RFC 1123 label must consist of/,
  ],
  ["one name twice", { containers: [container, container] }, 'spec.containers[1].name: Duplicate value: "c"'],
  [
    "an unknown restart policy",
    { restartPolicy: "Sometimes" },
    'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
  ],
  [
    "an unknown pull policy",
    { containers: [{ ...container, imagePullPolicy: "Maybe" }] },
    'spec.containers[0].imagePullPolicy: Unsupported value: "Maybe": supported values: "Always", "IfNotPresent", "Never"',
  ],
  [
    "a port out of range",
    { containers: [{ ...container, ports: [{ containerPort: 70000 }] }] },
    "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
  ],
  [
    "no port",
    { containers: [{ ...container, ports: [{}] }] },
    "spec.containers[0].ports[0].containerPort: Required value",
  ],
  [
    "a mount of no volume",
    { containers: [{ ...container, volumeMounts: [{ name: "v", mountPath: "/v" }] }] },
    'spec.containers[0].volumeMounts[0].name: Not found: "v"',
  ],
  [
    "a request above its limit",
    { containers: [{ ...container, resources: { requests: { cpu: "2" }, limits: { cpu: "1" } } }] },
    'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
  ],
  [
    "huge pages and no other memory",
    { containers: [{ ...container, resources: { limits: { "hugepages-2Mi": "2Mi" } } }] },
    "spec.containers[0].resources: Forbidden: HugePages require cpu or memory",
  ],
  [
    "huge pages without a limit",
    { containers: [{ ...container, resources: { requests: { cpu: "1", "hugepages-2Mi": "2Mi" } } }] },
    "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
  ],
  [
    "a request of fewer huge pages than the limit",
    {
      containers: [
        {
          ...container,
          resources: { requests: { "hugepages-2Mi": "2Mi" }, limits: { cpu: "1", "hugepages-2Mi": "4Mi" } },
        },
      ],
    },
    'spec.containers[0].resources.requests: Invalid value: "2Mi": must be equal to hugepages-2Mi limit of 4Mi',
  ],
  [
    "a probe of nothing",
    { containers: [{ ...container, livenessProbe: {} }] },
    "spec.containers[0].livenessProbe: Required value: must specify a handler type",
  ],
  [
    "two volumes of one name",
    {
      volumes: [
        { name: "v", emptyDir: {} },
        { name: "v", emptyDir: {} },
      ],
    },
    'spec.volumes[1].name: Duplicate value: "v"',
  ],
  [
    "two sources",
    { volumes: [{ name: "v", emptyDir: {}, hostPath: { path: "/x" } }] },
    "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
  ],
  [
    "a host path that climbs",
    { volumes: [{ name: "v", hostPath: { path: "/a/../b" } }] },
    `spec.volumes[0].hostPath.path: Invalid value: "/a/../b": must not contain '..'`,
  ],
  [
    "a claim without a name",
    { volumes: [{ name: "v", persistentVolumeClaim: { claimName: "" } }] },
    "spec.volumes[0].persistentVolumeClaim.claimName: Required value",
  ],
  [
    "negative grace",
    { terminationGracePeriodSeconds: -1 },
    "spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0",
  ],
  [
    "a negative user",
    { securityContext: { runAsUser: -1 } },
    "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
  ],
] as const)
  test(`a Pod with ${why} is refused in upstream's words`, async () => {
    const reply = await server.post(pods, testPod("x", spec));
    assert.equal(reply.code, 422);
    assert.equal(reply.body.reason, "Invalid");
    const said = textOf(reply.body.message).replace('Pod "x" is invalid: ', "");
    if (typeof message === "string") assert.equal(said, message);
    else assert.match(said, message);
  });

test("several faults are told at once, a cause each", async () => {
  const reply = await server.post(pods, testPod("X", { containers: [{}], restartPolicy: "x" }));
  const causes = reply.body.details?.causes as unknown as { field: string; reason: string }[]; // StatusCause
  assert.deepEqual(
    causes.map((each) => `${each.field} ${each.reason}`),
    [
      "metadata.name FieldValueInvalid",
      "spec.containers[0].name FieldValueRequired",
      "spec.containers[0].image FieldValueRequired",
      "spec.restartPolicy FieldValueNotSupported",
    ],
  );
  assert.match(textOf(reply.body.message), /^Pod "X" is invalid: \[metadata\.name: .*, spec\.restartPolicy: /);
});

test("what a Pod leaves out is filled in", async () => {
  const spec = {
    containers: [
      { name: "a", image: "busybox" },
      { name: "b", image: "host:5000/x:1", ports: [{ containerPort: 80 }] },
    ],
    volumes: [{ name: "v" }],
  };
  const { spec: made, status } = (await server.post(pods, testPod("defaults", spec))).body as unknown as Pod;
  assert.deepEqual(
    made.containers.map((each) => each.imagePullPolicy),
    ["Always", "IfNotPresent"],
  );
  assert.equal(made.containers[1]?.ports?.[0]?.protocol, "TCP");
  assert.equal(made.containers[0]?.terminationMessagePath, "/dev/termination-log");
  assert.deepEqual(
    [
      made.restartPolicy,
      made.dnsPolicy,
      made.schedulerName,
      made.terminationGracePeriodSeconds,
      made.enableServiceLinks,
      made.priority,
    ],
    ["Always", "ClusterFirst", "default-scheduler", 30, true, 0],
  );
  assert.deepEqual(made.volumes?.[0], { name: "v", emptyDir: {} });
  assert.deepEqual(
    made.tolerations?.map((each) => [each.key, each.tolerationSeconds]),
    [
      ["node.kubernetes.io/not-ready", 300],
      ["node.kubernetes.io/unreachable", 300],
    ],
  );
  assert.equal(made.serviceAccountName, "default");
  const access = made.volumes?.[1];
  assert.match(access?.name ?? "", /^kube-api-access-[a-z0-9]{5}$/);
  assert.deepEqual(made.containers[0]?.volumeMounts, [
    { name: access?.name, readOnly: true, mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" },
  ]);
  assert.deepEqual([status?.phase, status?.qosClass], ["Pending", "BestEffort"]);
});

test("a Pod that asks for no credentials gets none; one of an unknown account is refused", async () => {
  const plain = (await server.post(pods, testPod("plain", { automountServiceAccountToken: false })))
    .body as unknown as Pod;
  assert.equal(plain.spec.volumes, undefined);
  const refused = await server.post(pods, testPod("unknown", { serviceAccountName: "ghost" }));
  assert.equal(refused.code, 403);
  assert.equal(
    refused.body.message,
    'pods "unknown" is forbidden: error looking up service account default/ghost: serviceaccount "ghost" not found',
  );
});

test("a RuntimeClass gives its Pods overhead and a place; an unknown one is refused", async () => {
  await server.post("/apis/node.k8s.io/v1/runtimeclasses", {
    metadata: { name: "small" },
    handler: "small",
    overhead: { podFixed: { memory: "8Mi" } },
    scheduling: { nodeSelector: { kind: "small" } },
  });
  const { spec } = (await server.post(pods, testPod("classed", { runtimeClassName: "small" }))).body as unknown as Pod;
  assert.deepEqual([spec.overhead, spec.nodeSelector], [{ memory: "8Mi" }, { kind: "small" }]);
  assert.equal((await server.post(pods, testPod("unclassed", { runtimeClassName: "large" }))).code, 403);
  const critical = (await server.post(pods, testPod("critical", { priorityClassName: "system-node-critical" })))
    .body as unknown as Pod;
  assert.equal(critical.spec.priority, 2_000_001_000);
});

test("of a Pod's spec only images, deadline and more tolerations change", async () => {
  await server.post(pods, testPod("fixed"));
  const change = (spec: object) => server.patch(`${pods}/fixed`, "strategic-merge", { spec });
  assert.equal((await change({ containers: [{ name: "main", image: "other:2" }] })).code, 200);
  assert.equal((await change({ activeDeadlineSeconds: 60 })).code, 200);
  const refused = await change({ hostNetwork: true });
  assert.equal(refused.code, 422);
  assert.match(refused.text, /spec: Forbidden: pod updates may not change fields other than/);
  assert.match((await change({ activeDeadlineSeconds: 120 })).text, /must be less than or equal to previous value/);
  assert.equal((await change({ containers: [{ name: "more", image: "x:1" }] })).code, 422);
});

test("a Pod is bound once", async () => {
  await server.post(pods, testPod("bound"));
  const bind = (node: string) =>
    server.post(`${pods}/bound/binding`, { metadata: { name: "bound" }, target: { kind: "Node", name: node } });
  assert.equal((await bind("a")).code, 201);
  const again = await bind("b");
  assert.equal(again.code, 409);
  assert.match(again.text, /pod bound is already assigned to node \\"a\\"/);
  const { spec, status } = (await server.get(`${pods}/bound`)).body as unknown as Pod;
  assert.equal(spec.nodeName, "a");
  assert.equal(status?.conditions?.find((each) => each.type === "PodScheduled")?.status, "True");
  const evicted = await server.post(`${pods}/bound/eviction`, { metadata: { name: "bound" } });
  assert.equal(evicted.code, 201);
  assert.ok((await server.get(`${pods}/bound`)).body.metadata?.deletionTimestamp);
});

const status = (
  name: string,
  state: ContainerStatus["state"],
  more: Partial<ContainerStatus> = {},
): ContainerStatus => ({
  name,
  image: "",
  imageID: "",
  ready: false,
  restartCount: 0,
  ...(state === undefined ? {} : { state }),
  ...more,
});
const running = { running: {} };
const ended = (exitCode: number, reason?: string) => ({
  terminated: { exitCode, ...(reason === undefined ? {} : { reason }) },
});
const waiting = (reason: string) => ({ waiting: { reason } });
const sample = (podStatus: object, more: { spec?: object; metadata?: object } = {}): Pod => ({
  metadata: { name: "p", ...more.metadata },
  spec: { containers: [{ name: "a" }, { name: "b" }], ...more.spec },
  status: { phase: "Running", ...podStatus },
});

for (const [why, pod, ready, text] of [
  ["new", sample({ phase: "Pending" }), "0/2", "Pending"],
  [
    "running",
    sample({ containerStatuses: [status("a", running, { ready: true }), status("b", running, { ready: true })] }),
    "2/2",
    "Running",
  ],
  [
    "crashing",
    sample({ containerStatuses: [status("a", waiting("CrashLoopBackOff")), status("b", running, { ready: true })] }),
    "1/2",
    "CrashLoopBackOff",
  ],
  [
    "done",
    sample({
      phase: "Succeeded",
      containerStatuses: [status("a", ended(0, "Completed")), status("b", ended(0, "Completed"))],
    }),
    "0/2",
    "Completed",
  ],
  [
    "half done",
    sample({ containerStatuses: [status("a", ended(0, "Completed")), status("b", running, { ready: true })] }),
    "1/2",
    "NotReady",
  ],
  [
    "failed without a reason",
    sample({ phase: "Failed", containerStatuses: [status("a", ended(3)), status("b", ended(3))] }),
    "0/2",
    "ExitCode:3",
  ],
  [
    "initializing",
    sample(
      { initContainerStatuses: [status("i", ended(0)), status("j", running)] },
      { spec: { initContainers: [{ name: "i" }, { name: "j" }] } },
    ),
    "0/2",
    "Init:1/2",
  ],
  [
    "failing to initialize",
    sample(
      { initContainerStatuses: [status("i", waiting("CrashLoopBackOff"))] },
      { spec: { initContainers: [{ name: "i" }] } },
    ),
    "0/2",
    "Init:CrashLoopBackOff",
  ],
  [
    "with a sidecar",
    sample(
      {
        initContainerStatuses: [status("s", running, { started: true, ready: true })],
        containerStatuses: [status("a", running, { ready: true }), status("b", running)],
      },
      { spec: { initContainers: [{ name: "s", restartPolicy: "Always" }] } },
    ),
    "2/3",
    "Running",
  ],
  ["leaving", sample({}, { metadata: { deletionTimestamp: "2024-01-01T00:00:00Z" } }), "0/2", "Terminating"],
  [
    "lost",
    sample({ reason: "NodeLost" }, { metadata: { deletionTimestamp: "2024-01-01T00:00:00Z" } }),
    "0/2",
    "Unknown",
  ],
  ["evicted", sample({ phase: "Failed", reason: "Evicted" }), "0/2", "Evicted"],
] as const)
  test(`kubectl get shows a Pod that is ${why} as ${text}`, () => {
    const shown = podText(pod);
    assert.deepEqual([shown.ready, shown.status], [ready, text]);
  });

test("restarts are counted, with the time of the last", () => {
  const finishedAt = new Date(Date.now() - 125_000).toISOString();
  const lastState = { terminated: { exitCode: 1, finishedAt } };
  const pod = sample({
    containerStatuses: [status("a", running, { restartCount: 3, lastState }), status("b", running)],
  });
  assert.match(podText(pod).restarts, /^3 \(2m\d+s ago\)$/);
});

for (const [why, resources, expected] of [
  ["nothing", {}, "BestEffort"],
  ["a request", { requests: { cpu: "1" } }, "Burstable"],
  ["limits alone of both", { limits: { cpu: "1", memory: "1Gi" } }, "Guaranteed"],
  [
    "the same written in two ways",
    { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "1000m", memory: "1024Mi" } },
    "Guaranteed",
  ],
  ["zeros", { requests: { cpu: "0" } }, "BestEffort"],
] as const)
  test(`a container with ${why} makes its Pod ${expected}`, () => {
    assert.equal(qosClass({ metadata: {}, spec: { containers: [{ name: "c", resources }] } }), expected);
  });
