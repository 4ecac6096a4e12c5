import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container, Pod } from "@tripod/api/kubernetes";
import { containerHashAnnotation } from "../cri/pod-labels.ts";
import type { ContainerActual, PodActual, SandboxActual } from "../cri/pod-actual.ts";
import { containerHash } from "./pod-facts.ts";
import { planPod, type PodPlan } from "./pod-plan.ts";

const sandbox = (attempt = 0, ready = true): SandboxActual => ({
  id: `s${attempt}`,
  attempt,
  ready,
  createdAtMs: attempt,
  ips: ["10.0.0.1"],
});

const made = (name: string, state: ContainerActual["state"], more: Partial<ContainerActual> = {}): ContainerActual => ({
  id: `${name}-${more.attempt ?? 0}`,
  name,
  attempt: 0,
  sandboxId: "s0",
  state,
  createdAtMs: 0,
  startedAtMs: 1,
  finishedAtMs: state === "exited" ? 2 : 0,
  exitCode: 0,
  reason: "",
  message: "",
  image: "i",
  imageRef: "i",
  logPath: `${name}/${more.attempt ?? 0}.log`,
  annotations: {},
  mounts: new Map(),
  user: undefined,
  ...more,
});

const pod = (spec: Partial<NonNullable<Pod["spec"]>>): Pod => ({
  metadata: { name: "p", namespace: "n", uid: "u" },
  spec: { containers: [{ name: "c", image: "i" }], ...spec },
});

const sidecar: Container = { name: "side", image: "i", restartPolicy: "Always" };

interface Row {
  readonly why: string;
  readonly pod: Pod;
  readonly actual: PodActual;
  readonly started?: boolean;
  readonly restartAtMs?: number;
  readonly heldUntilMs?: number;
  readonly condemned?: ReadonlyMap<string, string>;
  readonly expected: Partial<Record<keyof PodPlan, unknown>>;
}

/** Names and attempts are what matters of steps. */
const summary = (plan: PodPlan): Record<keyof PodPlan, unknown> => ({
  ...plan,
  start: plan.start.map(({ container, attempt }) => `${container.name}#${attempt}`),
  kill: plan.kill.map(({ container }) => container.id),
  backingOff: Object.fromEntries(plan.backingOff),
  removeContainers: plan.removeContainers.map(({ id }) => id),
});

const rows: readonly Row[] = [
  {
    why: "a new Pod needs a sandbox and its containers",
    pod: pod({}),
    actual: { sandboxes: [], containers: [] },
    expected: { createSandbox: 0, start: ["c#0"], finished: false },
  },
  {
    why: "only the first init container starts",
    pod: pod({ initContainers: [{ name: "a" }, { name: "b" }] }),
    actual: { sandboxes: [], containers: [] },
    expected: { createSandbox: 0, start: ["a#0"], initialized: false },
  },
  {
    why: "the next init container starts after the one before has succeeded",
    pod: pod({ initContainers: [{ name: "a" }, { name: "b" }] }),
    actual: { sandboxes: [sandbox()], containers: [made("a", "exited")] },
    expected: { createSandbox: undefined, start: ["b#0"] },
  },
  {
    why: "a later init container proves the earlier one, whose record is gone",
    pod: pod({ initContainers: [{ name: "a" }, { name: "b" }] }),
    actual: { sandboxes: [sandbox()], containers: [made("b", "exited")] },
    expected: { start: ["c#0"], initialized: true },
  },
  {
    why: "a failed init container runs again",
    pod: pod({ initContainers: [{ name: "a" }] }),
    actual: { sandboxes: [sandbox()], containers: [made("a", "exited", { exitCode: 1 })] },
    expected: { start: ["a#1"], initialized: false },
  },
  {
    why: "a failed init container ends a Pod that never restarts",
    pod: pod({ initContainers: [{ name: "a" }], restartPolicy: "Never" }),
    actual: { sandboxes: [sandbox()], containers: [made("a", "exited", { exitCode: 1 })] },
    expected: { start: [], finished: true, initialized: false },
  },
  {
    why: "a sidecar that has not started yet holds the containers up",
    pod: pod({ initContainers: [sidecar] }),
    actual: { sandboxes: [sandbox()], containers: [made("side", "running")] },
    started: false,
    expected: { start: [], initialized: false },
  },
  {
    why: "a started sidecar lets the containers run",
    pod: pod({ initContainers: [sidecar] }),
    actual: { sandboxes: [sandbox()], containers: [made("side", "running")] },
    expected: { start: ["c#0"], initialized: true },
  },
  {
    why: "a dead sidecar is restarted beside running containers",
    pod: pod({ initContainers: [sidecar] }),
    actual: { sandboxes: [sandbox()], containers: [made("c", "running"), made("side", "exited")] },
    expected: { start: ["side#1"], kill: [] },
  },
  {
    why: "a running Pod needs nothing",
    pod: pod({}),
    actual: { sandboxes: [sandbox()], containers: [made("c", "running")] },
    expected: { start: [], kill: [], createSandbox: undefined, stopSandboxes: [], finished: false },
  },
  {
    why: "a crashed container is restarted with the next number",
    pod: pod({}),
    actual: { sandboxes: [sandbox()], containers: [made("c", "exited", { exitCode: 1 })] },
    expected: { start: ["c#1"], removeContainers: [] },
  },
  {
    why: "a crashed container waits for its back-off",
    pod: pod({}),
    actual: { sandboxes: [sandbox()], containers: [made("c", "exited", { exitCode: 1 })] },
    restartAtMs: 2000,
    expected: { start: [], backingOff: { c: 2000 } },
  },
  {
    why: "a container whose start is put off is looked at again later",
    pod: pod({}),
    actual: { sandboxes: [sandbox()], containers: [] },
    heldUntilMs: 3000,
    expected: { start: [], heldUntilMs: 3000 },
  },
  {
    why: "success is the end with OnFailure",
    pod: pod({ restartPolicy: "OnFailure" }),
    actual: { sandboxes: [sandbox()], containers: [made("c", "exited")] },
    expected: { start: [], finished: true },
  },
  {
    why: "failure is not the end with OnFailure",
    pod: pod({ restartPolicy: "OnFailure" }),
    actual: { sandboxes: [sandbox()], containers: [made("c", "exited", { exitCode: 1 })] },
    expected: { start: ["c#1"], finished: false },
  },
  {
    why: "any end is the end with Never",
    pod: pod({ restartPolicy: "Never" }),
    actual: { sandboxes: [sandbox()], containers: [made("c", "exited", { exitCode: 1 })] },
    expected: { start: [], finished: true },
  },
  {
    why: "a container that was created and never started is made again under its own number",
    pod: pod({}),
    actual: { sandboxes: [sandbox()], containers: [made("c", "created", { attempt: 3 })] },
    expected: { start: ["c#3"], removeContainers: ["c-3"] },
  },
  {
    why: "a dead sandbox is stopped and replaced, and its containers run again",
    pod: pod({}),
    actual: { sandboxes: [sandbox(0, false)], containers: [made("c", "exited", { exitCode: 137 })] },
    expected: { stopSandboxes: ["s0"], createSandbox: 1, start: ["c#1"] },
  },
  {
    why: "a dead sandbox is not replaced when nothing is left to run",
    pod: pod({ restartPolicy: "Never" }),
    actual: { sandboxes: [sandbox(0, false)], containers: [made("c", "exited", { exitCode: 137 })] },
    expected: { createSandbox: undefined, start: [], finished: true },
  },
  {
    why: "a container that a probe condemned is killed",
    pod: pod({}),
    actual: { sandboxes: [sandbox()], containers: [made("c", "running")] },
    condemned: new Map([["c-0", "Container c failed liveness probe, will be restarted"]]),
    expected: { kill: ["c-0"], start: [] },
  },
  {
    why: "a container whose image was changed is killed",
    pod: pod({}),
    actual: {
      sandboxes: [sandbox()],
      containers: [
        made("c", "running", {
          annotations: { [containerHashAnnotation]: containerHash({ name: "c", image: "old" }) },
        }),
      ],
    },
    expected: { kill: ["c-0"] },
  },
  {
    why: "of the dead only the newest is kept before a living one",
    pod: pod({}),
    actual: {
      sandboxes: [sandbox()],
      containers: [
        made("c", "running", { attempt: 3 }),
        made("c", "exited", { attempt: 2 }),
        made("c", "exited", { attempt: 1 }),
      ],
    },
    expected: { removeContainers: ["c-1"] },
  },
  {
    why: "an old sandbox goes once nothing in it is worth keeping",
    pod: pod({}),
    actual: {
      sandboxes: [sandbox(1), sandbox(0, false)],
      containers: [made("c", "running", { attempt: 1, sandboxId: "s1" })],
    },
    expected: { removeSandboxes: ["s0"] },
  },
];

for (const row of rows) {
  test(`planPod: ${row.why}`, () => {
    const plan = planPod({
      pod: row.pod,
      actual: row.actual,
      nowMs: 1000,
      condemned: row.condemned ?? new Map(),
      isStarted: () => row.started ?? true,
      restartAtMs: () => row.restartAtMs ?? 0,
      heldUntilMs: () => row.heldUntilMs ?? 0,
    });
    const found = summary(plan);
    const keys = Object.keys(row.expected) as (keyof PodPlan)[]; // the rows name a plan's fields
    assert.deepEqual(Object.fromEntries(keys.map((key) => [key, found[key]])), row.expected);
  });
}
