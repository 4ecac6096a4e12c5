import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { CSIDriver } from "@tripod/api/kubernetes";
import { type BindDriver, bindDriverName, startBindDriver } from "../testing/bind-driver.ts";
import { startVolumeRig, type VolumeRig } from "../testing/volume-rig.ts";

let rig: VolumeRig;
let driver: BindDriver;

before(async () => {
  rig = await startVolumeRig({ republishMs: 1 });
  driver = await startBindDriver(rig.layout);
  rig.drivers.register(bindDriverName, driver.endpoint);
  rig.api.create<CSIDriver>("csidrivers", {
    metadata: { name: bindDriverName },
    spec: {
      attachRequired: false,
      podInfoOnMount: true,
      requiresRepublish: true,
      tokenRequests: [{ audience: "vault" }, { audience: "", expirationSeconds: 600 }],
    },
  });
});
after(async () => {
  await driver[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

test("a driver that wants it is asked to publish again, with tokens, and not to stage; a failure leaves the Pod what it has", async () => {
  rig.createClaim("again");
  const pod = rig.createPod("again", { v: "again" }, { serviceAccountName: "reader" });
  await rig.setUp(pod);
  const uid = pod.metadata?.uid ?? "";
  assert((rig.volumes.lookAgainAtMs(uid) ?? 0) <= Date.now() + 1);
  await rig.setUp(pod);
  assert.deepEqual(driver.calls, ["stage handle-again", "publish handle-again", "publish handle-again"]);
  const [first, second] = driver.contexts;
  assert.equal(first?.["csi.storage.k8s.io/serviceAccount.name"], "reader");
  const tokens = JSON.parse(second?.["csi.storage.k8s.io/serviceAccount.tokens"] ?? "{}") as Record<
    string,
    { token: string; expirationTimestamp: string }
  >; // upstream's form
  assert.deepEqual(Object.keys(tokens).toSorted(), ["", "vault"]);
  assert.match(tokens["vault"]?.token ?? "", /^token-\d$/);
  // The API server's own word, not what was asked for: it gives an hour to both.
  const leftMs = Date.parse(tokens[""]?.expirationTimestamp ?? "") - Date.now();
  assert(leftMs > 3_500_000 && leftMs < 3_700_000);
  assert.equal(
    first?.["csi.storage.k8s.io/serviceAccount.tokens"],
    second?.["csi.storage.k8s.io/serviceAccount.tokens"],
    "they are kept until they grow old",
  );
  driver.failures = 1;
  await rig.setUp(pod);
  await rig.told("again", 'FailedMount: MountVolume.SetUp failed for volume "v" : the disk is on fire');
  assert.equal(rig.mounts().filter((path) => path.endsWith("/mount")).length, 1);
  await rig.tearDown(pod);
  assert.equal(rig.volumes.lookAgainAtMs(uid), undefined);
});

test("a driver that takes tokens in secrets finds them there alone", async () => {
  rig.api.update("csidrivers", bindDriverName, (object) => ({
    ...object,
    spec: { ...object.spec, serviceAccountTokenInSecrets: true, requiresRepublish: false },
  }));
  rig.createClaim("secret");
  const pod = rig.createPod("secret", { v: "secret" });
  await rig.setUp(pod);
  assert.equal(driver.contexts.at(-1)?.["csi.storage.k8s.io/serviceAccount.tokens"], undefined);
  assert.match(driver.secrets.at(-1)?.["csi.storage.k8s.io/serviceAccount.tokens"] ?? "", /token-/);
  await rig.tearDown(pod);
  assert.deepEqual(rig.mounts(), []);
});
