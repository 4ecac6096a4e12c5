import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "@tripod/api/kubernetes";
import type { ContainerActual, PodActual } from "../cri/pod-actual.ts";
import { CrashBackoff } from "./crash-backoff.ts";
import { withLostContainers } from "./lost-containers.ts";
import { podStatus, type PodStatusInput } from "./pod-status.ts";
import { statusPatch } from "./status-writer.ts";

const container = (
  name: string,
  state: ContainerActual["state"],
  more: Partial<ContainerActual> = {},
): ContainerActual => ({
  id: name,
  name,
  attempt: 0,
  sandboxId: "s",
  state,
  createdAtMs: 0,
  startedAtMs: 1000,
  finishedAtMs: state === "exited" ? 2000 : 0,
  exitCode: 0,
  reason: "",
  message: "",
  image: "i",
  imageRef: "sha256:1",
  logPath: "",
  annotations: {},
  mounts: new Map(),
  user: undefined,
  ...more,
});

const sandboxes = [{ id: "s", attempt: 0, ready: true, createdAtMs: 0, ips: ["10.0.0.9"] }];

function statusOf(pod: Pod, actual: PodActual, more: Partial<PodStatusInput> = {}) {
  return podStatus({
    pod,
    actual,
    runtimeName: "tripod",
    hostIps: ["192.0.2.1"],
    nowMs: Date.parse("2026-01-01T00:00:00Z"),
    initialized: true,
    ended: false,
    failure: undefined,
    waiting: new Map(),
    isReady: () => true,
    isStarted: () => true,
    terminationMessage: () => undefined,
    ...more,
  });
}

const pod = (spec: Partial<NonNullable<Pod["spec"]>> = {}, status?: Pod["status"]): Pod => ({
  metadata: { name: "p", namespace: "n", uid: "u" },
  spec: { containers: [{ name: "a" }, { name: "b" }], ...spec },
  ...(status === undefined ? {} : { status }),
});

test("a Pod whose containers run and are ready is Running and Ready", () => {
  const status = statusOf(pod(), { sandboxes, containers: [container("a", "running"), container("b", "running")] });
  assert.equal(status.phase, "Running");
  assert.equal(status.podIP, "10.0.0.9");
  assert.deepEqual(
    status.conditions?.map(({ type, status: value }) => `${type}=${value}`),
    ["PodReadyToStartContainers=True", "Initialized=True", "Ready=True", "ContainersReady=True"],
  );
});

test("a container that waits keeps the Pod Pending and says why", () => {
  const waiting = new Map([["b", { reason: "ErrImagePull", message: "no such image" }]]);
  const status = statusOf(pod(), { sandboxes, containers: [container("a", "running")] }, { waiting });
  assert.equal(status.phase, "Pending");
  assert.deepEqual(status.containerStatuses?.[1]?.state, {
    waiting: { reason: "ErrImagePull", message: "no such image" },
  });
  assert.equal(status.conditions?.find(({ type }) => type === "Ready")?.message, "containers with unready status: [b]");
});

test("phases of Pods that have ended", () => {
  const rows = [
    ["Never", 0, "Succeeded"],
    ["Never", 1, "Failed"],
    ["OnFailure", 0, "Succeeded"],
    ["OnFailure", 1, "Running"],
    ["Always", 1, "Running"],
  ] as const;
  for (const [restartPolicy, exitCode, phase] of rows) {
    const containers = [container("a", "exited"), container("b", "exited", { exitCode })];
    assert.equal(
      statusOf(pod({ restartPolicy }), { sandboxes, containers }).phase,
      phase,
      `${restartPolicy} ${exitCode}`,
    );
  }
});

test("a failure of the node's own making is the phase, the reason and the message", () => {
  const failure = { reason: "DeadlineExceeded", message: "too long" };
  const status = statusOf(pod(), { sandboxes, containers: [] }, { failure, ended: true });
  assert.deepEqual([status.phase, status.reason, status.message], ["Failed", "DeadlineExceeded", "too long"]);
});

test("a terminal phase never changes again", () => {
  const before = pod({}, { phase: "Succeeded" });
  const containers = [container("a", "exited", { exitCode: 137 }), container("b", "exited")];
  assert.equal(statusOf(before, { sandboxes: [], containers }, { ended: true }).phase, "Succeeded");
});

test("a condition keeps its transition time while its status stays", () => {
  const before = pod(
    {},
    {
      conditions: [{ type: "Ready", status: "True", lastTransitionTime: "2025-01-01T00:00:00Z" }],
    },
  );
  const status = statusOf(before, { sandboxes, containers: [container("a", "running"), container("b", "running")] });
  const times = Object.fromEntries(
    (status.conditions ?? []).map(({ type, lastTransitionTime }) => [type, lastTransitionTime]),
  );
  assert.equal(times["Ready"], "2025-01-01T00:00:00Z");
  assert.equal(times["Initialized"], "2026-01-01T00:00:00Z");
});

test("containers that the runtime has forgotten are taken from the API's status", () => {
  const before = pod(
    {},
    {
      containerStatuses: [
        {
          name: "a",
          restartCount: 4,
          image: "i",
          imageID: "",
          ready: true,
          state: { running: { startedAt: "2026-01-01T00:00:00Z" } },
        },
        {
          name: "b",
          restartCount: 0,
          image: "i",
          imageID: "",
          ready: false,
          state: { waiting: { reason: "ContainerCreating" } },
        },
      ],
    },
  );
  const { containers } = withLostContainers(before, { sandboxes: [], containers: [] });
  assert.equal(containers.length, 1);
  assert.deepEqual(
    [containers[0]?.name, containers[0]?.attempt, containers[0]?.exitCode, containers[0]?.reason],
    ["a", 4, 137, "ContainerStatusUnknown"],
  );
});

test("the patch takes away what a status has no more", () => {
  const patch = statusPatch(
    "u",
    {
      reason: "Old",
      conditions: [{ type: "Ready", status: "False", reason: "No", message: "m" }],
      podIPs: [{ ip: "1.1.1.1" }],
    },
    { conditions: [{ type: "Ready", status: "True" }], podIPs: [{ ip: "2.2.2.2" }] },
  );
  assert.deepEqual(patch, {
    metadata: { uid: "u" },
    status: {
      reason: null,
      conditions: [{ type: "Ready", status: "True", reason: null, message: null }],
      podIPs: [{ ip: "2.2.2.2" }, { $patch: "replace" }],
    },
  });
});

test("crashes back off from 10 s to 5 minutes, and ten minutes of running start afresh", () => {
  const backoff = new CrashBackoff();
  let nowMs = 0;
  const delays: number[] = [];
  for (let round = 0; round < 8; round += 1) {
    const exited = container("a", "exited", { finishedAtMs: nowMs });
    delays.push(Math.max(0, backoff.restartAtMs(exited) - nowMs));
    nowMs = Math.max(nowMs, backoff.restartAtMs(exited));
    backoff.restarted(exited, nowMs);
  }
  assert.deepEqual(delays, [0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  assert.equal(backoff.restartAtMs(container("a", "exited", { finishedAtMs: nowMs + 600_001 })), 0);
});
