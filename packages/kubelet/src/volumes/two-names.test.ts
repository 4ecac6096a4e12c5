import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { CSIDriver, PersistentVolume, Pod } from "@tripod/api/kubernetes";
import { mountInfo } from "@tripod/linux";
import { bindDriverName, startBindDriver } from "../testing/bind-driver.ts";
import { startVolumeRig, type VolumeRig } from "../testing/volume-rig.ts";
import { containerMounts } from "./container-mounts.ts";
import { podPaths } from "./pod-paths.ts";

let rig: VolumeRig;
const stack = new AsyncDisposableStack();
before(async () => {
  rig = stack.use(await startVolumeRig());
  const driver = stack.use(await startBindDriver(rig.layout));
  rig.drivers.register(bindDriverName, driver.endpoint);
  rig.api.create<CSIDriver>("csidrivers", { metadata: { name: bindDriverName }, spec: { attachRequired: false } });
});
after(() => stack.disposeAsync());

/** A Pod with its claim as "writes" and, read-only, as "reads"; its containers mount those of `used`. */
function createPod(name: string, used: readonly string[]): Pod {
  const claimName = name.split("-")[0] ?? "";
  return rig.createPod(
    name,
    {},
    {
      volumes: [
        { name: "reads", persistentVolumeClaim: { claimName, readOnly: true } },
        { name: "writes", persistentVolumeClaim: { claimName } },
      ],
      containers: [{ name: "c", volumeMounts: used.map((each) => ({ name: each, mountPath: `/${each}` })) }],
    },
  );
}

for (const kind of ["csi", "local", "hostPath"] as const)
  test(`a ${kind} claim under two names is read-only under the one that says so, and under both where only that is used`, async () => {
    const name = kind.toLowerCase();
    rig.createClaim(name);
    const path = join(rig.layout.root ?? "", name);
    mkdirSync(path);
    if (kind !== "csi")
      rig.api.update("persistentvolumes", `pv-${name}`, (object) => {
        const { csi: _, ...spec } = (object as PersistentVolume).spec; // of that kind
        return { ...object, spec: { ...spec, [kind]: { path } } };
      });
    const both = createPod(`${name}-both`, ["reads", "writes"]);
    const volumes = await rig.setUp(both);
    const [container] = both.spec?.containers ?? [];
    assert.ok(container !== undefined);
    const paths = podPaths(rig.layout.kubeletDir, both.metadata?.uid ?? "");
    const mounts = await containerMounts({
      container: { ...container, terminationMessagePath: "" },
      volumes,
      environment: new Map(),
      paths,
      hostsFile: undefined,
    });
    const shown = mounts.filter(({ containerPath }) => /^\/(reads|writes)$/.test(containerPath ?? ""));
    assert.deepEqual(
      shown.map(({ containerPath, readonly }) => [containerPath, readonly]),
      [
        ["/reads", true],
        ["/writes", false],
      ],
    );
    assert.equal(shown[0]?.hostPath, shown[1]?.hostPath);
    const file = join(shown[0]?.hostPath ?? "", "file");
    writeFileSync(file, "");
    rmSync(file);
    const reader = createPod(`${name}-reader`, ["reads"]);
    const mounted = (await rig.setUp(reader)).get("reads");
    assert.equal(mounted?.readOnly, true);
    const hostPath = mounted.kind === "folder" ? mounted.hostPath : "";
    const sealed = mountInfo().some(({ mountPoint, options }) => mountPoint === hostPath && options.includes("ro"));
    assert.equal(sealed, kind !== "hostPath");
    for (const pod of [both, reader]) await rig.tearDown(pod);
    assert.deepEqual(rig.mounts(), []);
  });
