import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { createCgroup, removeCgroup } from "@tripod/linux";
import { podCgroups } from "./pod-cgroups.ts";

for (const driver of ["cgroupfs", "systemd"] as const) {
  test(`${driver}: a Pod's cgroup is found by its uid in every QoS class, also when nothing else of the Pod is left`, async () => {
    const parent = `/tripod-test-${randomUUID().slice(0, 8)}`;
    const cgroups = podCgroups(parent, driver);
    const top =
      driver === "cgroupfs" ? parent : `/tripod.slice/tripod-test.slice/tripod-test-${parent.slice(13)}.slice`;
    try {
      assert.deepEqual(cgroups.uids(), []);
      const uids = [randomUUID(), randomUUID(), randomUUID()];
      uids.forEach((uid, index) => createCgroup(cgroups.possible(uid)[index] ?? ""));
      assert.deepEqual(cgroups.uids(), uids);
    } finally {
      await removeCgroup(top);
      if (driver === "systemd")
        for (const each of ["/tripod.slice/tripod-test.slice", "/tripod.slice"]) await removeCgroup(each);
    }
  });
}

test("a Pod's cgroup tells its QoS class, in the words of the driver", () => {
  const pod = { metadata: { uid: "a-1" }, spec: { containers: [{ name: "c", image: "i" }] } };
  assert.equal(podCgroups("/tripod", "cgroupfs").of(pod), "/tripod/kubepods/besteffort/poda-1");
  assert.equal(
    podCgroups("/tripod", "systemd").of(pod),
    "/tripod.slice/tripod-kubepods.slice/tripod-kubepods-besteffort.slice/tripod-kubepods-besteffort-poda_1.slice",
  );
});
