import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { PersistentVolumeClaim } from "@tripod/api/kubernetes";
import { events, persistentVolumeClaims, persistentVolumes, volumeAttributesClasses } from "@tripod/kube";
import { goProgram, interop, sidecarPrograms } from "@tripod/testing";
import { type GrowingPlane, withGrowth } from "../controllers/growing-plane.ts";
import { driverName } from "../controllers/memory-driver.ts";
import { MemoryGrowth } from "../controllers/memory-growth.ts";

const upstream = goProgram(sidecarPrograms.csiResizer);
const skip = "skip" in upstream && upstream.skip;
const where = { namespace: "default" };
const data = { name: "data", ...where };

type Holds = (claim: PersistentVolumeClaim | undefined) => boolean;
const isIn =
  (state: string | undefined, allocated: string): Holds =>
  (claim) =>
    claim?.status?.allocatedResourceStatuses?.["storage"] === state &&
    claim?.status?.allocatedResources?.["storage"] === allocated;
const hasAttributes =
  (name: string): Holds =>
  ({ status } = { metadata: {}, spec: {} }) =>
    status?.currentVolumeAttributesClassName === name && status.modifyVolumeStatus === undefined;
const modifying =
  (state: string): Holds =>
  (claim) =>
    claim?.status?.modifyVolumeStatus?.status === state;

/** Runs upstream's external-resizer until the stack is disposed. */
function startUpstream(stack: AsyncDisposableStack, { layout }: GrowingPlane): void {
  assert.ok("path" in upstream);
  const socket = join(layout.kubeletDir, "plugins", driverName, "csi.sock");
  const args = [
    `--kubeconfig=${layout.kubeconfig}`,
    `--csi-address=${socket}`,
    "--retry-interval-start=200ms",
    "--v=5",
  ];
  const output = process.env.TRIPOD_TEST_LOG === undefined ? "ignore" : "inherit";
  const child = spawn(upstream.path, args, { stdio: ["ignore", "ignore", output] });
  stack.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  });
}

/** What of a claim and its volume others go by; the words of errors, and times, are everybody's own. */
async function shown({ client, volumeName }: GrowingPlane, claim: PersistentVolumeClaim | undefined) {
  const { metadata, spec } = await client.resource(persistentVolumes).get(volumeName);
  const { conditions = [], ...status } = claim?.status ?? {};
  return {
    ...status,
    conditions: Object.fromEntries(
      conditions.map(({ type, status: is, reason = "", message = "" }) => [
        type,
        type.endsWith("Error") ? [is, reason] : [is, reason, message],
      ]),
    ),
    notNeeded: claim?.metadata.annotations?.["volume.kubernetes.io/node-expansion-not-required"],
    preResize: metadata.annotations?.["volume.alpha.kubernetes.io/pre-resize-capacity"],
    volume: spec.capacity,
    attributes: spec.volumeAttributesClassName,
  };
}

interface Step {
  readonly name: string;
  readonly act: (plane: GrowingPlane) => Promise<unknown>;
  readonly until: Holds;
}

const wish = (volumeAttributesClassName: string) => (plane: GrowingPlane) =>
  plane.client.resource(persistentVolumeClaims).patch("data", { spec: { volumeAttributesClassName } }, where);

/** A claim's life, at whose end it has grown and has other attributes. */
const life = (kind: "controller" | "node-too"): readonly Step[] => [
  {
    name: "too much",
    act: (plane) => plane.grow("9Gi"),
    until: isIn("ControllerResizeInfeasible", "9Gi"),
  },
  {
    name: "less",
    act: (plane) => plane.grow("3Gi"),
    until: isIn(kind === "controller" ? undefined : "NodeResizePending", "3Gi"),
  },
  {
    name: "the node's part",
    act: async ({ client }) => {
      if (kind === "controller") return;
      const claims = client.resource(persistentVolumeClaims);
      const status = { capacity: { storage: "3Gi" }, allocatedResourceStatuses: null, conditions: [] };
      await claims.patch("data", { status }, { ...where, subresource: "status" });
    },
    until: (claim) => claim?.status?.capacity?.["storage"] === "3Gi",
  },
  { name: "what cannot be", act: wish("lead"), until: modifying("Infeasible") },
  { name: "what can be", act: wish("gold"), until: hasAttributes("gold") },
  { name: "what is not there", act: wish("tin"), until: modifying("Pending") },
];

/** Goes through a life, and returns what could be seen after each step, and the reasons of the Events. */
async function live(plane: GrowingPlane, steps: readonly Step[], before: (step: Step) => Promise<void>) {
  const { client, until, growth } = plane;
  growth.limitBytes = 5n * 1024n ** 3n;
  growth.refused.add("lead");
  const seen: Record<string, unknown> = {};
  for (const name of ["lead", "gold"]) {
    const metal = { metadata: { name }, driverName, parameters: { metal: name } };
    await client.resource(volumeAttributesClasses).create(metal);
  }
  for (const step of steps) {
    await before(step);
    await step.act(plane);
    const claim = await until(persistentVolumeClaims, data, step.until);
    seen[step.name] = await shown(plane, claim);
  }
  await plane.told("VolumeModifyFailed", /tin/);
  const { items } = await client.resource(events).list({ ...where, fieldSelector: "involvedObject.name=data" });
  const own = items.filter(({ source }) => source?.component?.startsWith("external-resizer"));
  return { seen, reasons: new Set(own.map(({ reason }) => reason)) };
}

const caller = `external-resizer ${sidecarPrograms.csiResizer.version.slice(1)}`;
describe(interop({ interface: "Kubernetes API", caller, callee: "Tripod's API server" }), { skip }, () => {
  for (const kind of ["controller", "node-too"] as const) {
    test(`upstream's resizer and ours show the same of a claim's life (${kind})`, async () => {
      const lives: unknown[] = [];
      for (const whose of ["upstream", "ours"]) {
        await using stack = new AsyncDisposableStack();
        const plane = await withGrowth(stack, new MemoryGrowth(kind));
        if (whose === "upstream") {
          await plane.stopControllers();
          startUpstream(stack, plane);
        }
        lives.push(await live(plane, life(kind), async () => {}));
      }
      assert.deepEqual(lives[1], lives[0]);
    });

    test(`what upstream's has begun ours end, and the other way round (${kind})`, async () => {
      await using stack = new AsyncDisposableStack();
      const plane = await withGrowth(stack, new MemoryGrowth(kind));
      await plane.stopControllers();
      let turn = 0;
      let running = new AsyncDisposableStack();
      stack.defer(() => running.disposeAsync());
      await live(plane, life(kind), async () => {
        await running.disposeAsync();
        running = new AsyncDisposableStack();
        if (turn % 2 === 0) {
          startUpstream(running, plane);
        } else {
          await plane.restartControllers();
          running.defer(() => plane.stopControllers());
        }
        turn += 1;
      });
    });
  }
});
