import assert from "node:assert/strict";
import { test } from "node:test";
import { TripodError } from "@tripod/base";
import { persistentVolumeClaims, persistentVolumes } from "@tripod/kube";
import { doomedControllers, untilKilled } from "./doomed-controllers.ts";
import { withGrowth } from "./growing-plane.ts";
import { MemoryGrowth } from "./memory-growth.ts";

const where = { namespace: "default" };
const data = { name: "data", ...where };
const gibibyte = 1024n ** 3n;

for (const kind of ["controller", "node-too"] as const)
  for (const failpoint of ["started", "expanded", "volume-saved", "claim-saved"])
    test(`controllers killed at controllers.resizer.${failpoint} (${kind}) leave growth to others, who end it`, async () => {
      await using stack = new AsyncDisposableStack();
      const plane = await withGrowth(stack, new MemoryGrowth(kind));
      await plane.stopControllers();
      const doomed = doomedControllers(stack, plane, `controllers.resizer.${failpoint}`);
      await plane.grow("2Gi");
      await untilKilled(doomed, failpoint);
      // Its user cannot know how far it was; what was begun is brought to its end before.
      await plane.grow("3Gi");
      await plane.restartControllers();
      const isDone =
        kind === "controller" ? { size: "3Gi", state: undefined } : { size: "1Gi", state: "NodeResizePending" };
      const claim = await plane.until(
        persistentVolumeClaims,
        data,
        (each) =>
          each?.status?.capacity?.["storage"] === isDone.size &&
          each.status.allocatedResourceStatuses?.["storage"] === isDone.state,
      );
      const size = kind === "controller" ? "3Gi" : "2Gi";
      assert.deepEqual(claim?.status?.allocatedResources, { storage: size });
      const volume = await plane.client.resource(persistentVolumes).get(plane.volumeName);
      assert.equal(volume.spec.capacity?.["storage"], size);
      assert.equal(plane.growth.requests[0]?.capacityRange?.requiredBytes, 2n * gibibyte);
    });

test("controllers killed when a refusal is saved leave it to others, who take less", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withGrowth(stack, new MemoryGrowth("controller"));
  plane.growth.failures.push(new TripodError("out-of-range", "too much"));
  await plane.stopControllers();
  const doomed = doomedControllers(stack, plane, "controllers.resizer.failure-saved");
  await plane.grow("9Gi");
  await untilKilled(doomed, "controllers.resizer.failure-saved");
  await plane.grow("2Gi");
  await plane.restartControllers();
  const claim = await plane.until(
    persistentVolumeClaims,
    data,
    (each) => each?.status?.capacity?.["storage"] === "2Gi",
  );
  assert.deepEqual(claim?.status?.allocatedResources, { storage: "2Gi" });
  assert.deepEqual(claim?.status?.conditions ?? [], []);
});
