import assert from "node:assert/strict";
import { test } from "node:test";
import { VolumeHealthErrorType } from "@tripod/api/csi";
import { TripodError } from "@tripod/base";
import { events, persistentVolumeClaims, storageClasses } from "@tripod/kube";
import { addNode, type ControlPlane, startControlPlane } from "./control-plane.ts";
import { doomedControllers, untilKilled } from "./doomed-controllers.ts";
import { driverName, MemoryDriver } from "./memory-driver.ts";

const where = { namespace: "default" };
const often = { volumeHealth: { askEveryMs: 100 } };

interface Problem {
  readonly status: VolumeHealthErrorType;
  readonly reason: string;
  readonly message: string;
}
const slow = { status: VolumeHealthErrorType.DEGRADED, reason: "SlowDisk", message: "a mirror is gone" };
const lost = { status: VolumeHealthErrorType.DATA_LOSS, reason: "BadSectors", message: "3 files" };

/** A driver that knows how its volumes are, with the claims "a" and "b". */
async function start(stack: AsyncDisposableStack, how: "get" | "list") {
  const plane = await startControlPlane(stack, often);
  const { client, until } = plane;
  const driver = new MemoryDriver();
  const problems = new Map<string, Problem[]>();
  /** Thrown by the next questions, one each. */
  const failures: TripodError[] = [];
  /** Ids of volumes that can never be asked after. */
  const unknown = new Set<string>();
  const asked = { get: 0, list: 0 };
  const answer = <T>(kind: "get" | "list", value: T): T => {
    asked[kind] += 1;
    const failure = failures.shift();
    if (failure !== undefined) throw failure;
    return value;
  };
  await addNode(client, "n1");
  await driver.start(stack, plane.layout, client, {
    nodes: ["n1"],
    also: {
      controller: {
        controllerGetVolumeHealth: async ({ volumeId }) => {
          if (unknown.has(volumeId)) throw new TripodError("internal", "its disk does not answer");
          return answer("get", { volumeHealth: { volumeId, healthStatuses: problems.get(volumeId) ?? [] } });
        },
        ...(how === "list"
          ? {
              controllerListVolumeHealth: async () =>
                answer("list", {
                  entries: [...problems].map(([volumeId, healthStatuses]) => ({ volumeId, healthStatuses })),
                }),
            }
          : {}),
      },
    },
  });
  await client.resource(storageClasses).create({ metadata: { name: "now" }, provisioner: driverName });
  for (const name of ["a", "b"])
    await client.resource(persistentVolumeClaims).create({
      metadata: { name, ...where },
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "now" },
    });
  const volumeOf = async (name: string): Promise<string> =>
    (await until(persistentVolumeClaims, { name, ...where }, (claim) => claim?.status?.phase === "Bound"))?.spec
      .volumeName ?? "";
  return { ...plane, problems, failures, unknown, asked, volume: await volumeOf("a"), second: await volumeOf("b") };
}

async function told({ client }: ControlPlane, reason: string, message: string): Promise<void> {
  const signal = AbortSignal.timeout(15_000);
  for await (const { object } of client.resource(events).watch({ ...where, signal }))
    if (object.reason === reason && object.message === message) {
      assert.equal(object.involvedObject.name, "a");
      return;
    }
  throw new Error(`no event ${reason}: ${message}`);
}

const healthOf = async ({ client }: ControlPlane, name: string) =>
  (await client.resource(persistentVolumeClaims).get(name, where)).status?.healthStatus?.healthConditions;

for (const how of ["get", "list"] as const)
  test(`of a driver that can ${how} it, health that changes is told, and recovery`, async () => {
    await using stack = new AsyncDisposableStack();
    const plane = await start(stack, how);
    const { problems, failures, asked, volume } = plane;
    problems.set(`id-${volume}`, [slow]);
    await told(plane, "VolumeConditionAbnormal", `Volume ${volume}: Degraded: SlowDisk: a mirror is gone`);
    assert.deepEqual(await healthOf(plane, "a"), [
      { status: "Degraded", reason: "SlowDisk", message: "a mirror is gone" },
    ]);
    assert.equal(await healthOf(plane, "b"), undefined);
    problems.set(`id-${volume}`, [slow, lost]);
    const both = "DataLoss: BadSectors: 3 files; Degraded: SlowDisk: a mirror is gone";
    await told(plane, "VolumeConditionAbnormal", `Volume ${volume}: ${both}`);
    // No answer says nothing.
    failures.push(new TripodError("unavailable", "it restarts"));
    problems.delete(`id-${volume}`);
    await told(plane, "VolumeConditionNormal", `Volume ${volume}: is well again`);
    assert.equal(await healthOf(plane, "a"), undefined);
    const { items } = await plane.client.resource(events).list(where);
    const abnormal = items.filter(({ reason }) => reason === "VolumeConditionAbnormal");
    assert.deepEqual(
      abnormal.map(({ count }) => count ?? 1),
      [1, 1],
    );
    if (how === "list") assert.ok(asked.get < asked.list);
  });

test("a volume that its driver cannot be asked after hides no other that is not well", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await start(stack, "get");
  plane.unknown.add(`id-${plane.volume}`);
  plane.problems.set(`id-${plane.second}`, [slow]);
  const isTold = await plane.until(
    persistentVolumeClaims,
    { name: "b", ...where },
    (claim) => claim?.status?.healthStatus?.healthConditions?.[0]?.reason === "SlowDisk",
  );
  assert.ok(isTold);
});

test("controllers killed at controllers.health.saved tell it once they are back", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await start(stack, "list");
  await plane.stopControllers();
  plane.problems.set(`id-${plane.volume}`, [slow]);
  const failpoint = "controllers.health.saved";
  await untilKilled(doomedControllers(stack, plane, failpoint, often), failpoint);
  assert.equal((await healthOf(plane, "a"))?.length, 1);
  await plane.restartControllers();
  await told(plane, "VolumeConditionAbnormal", `Volume ${plane.volume}: Degraded: SlowDisk: a mirror is gone`);
});
