import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { CSIDriver, Pod } from "@tripod/api/kubernetes";
import { lgetxattr, mount, parseMountOptions, unmount } from "@tripod/linux";
import { bindDriverName, startBindDriver } from "../testing/bind-driver.ts";
import { startVolumeRig } from "../testing/volume-rig.ts";
import type { CsiVolume } from "./csi-spec.ts";
import { seLinuxMountLabel } from "./selinux-mount.ts";

let root: string;
before(() => {
  root = mkdtempSync("/tmp/tripod-selinux-");
  mkdirSync(join(root, "sys/fs/selinux"), { recursive: true });
  writeFileSync(join(root, "sys/fs/selinux/enforce"), "1");
  mkdirSync(join(root, "etc/selinux/strict/contexts"), { recursive: true });
  writeFileSync(join(root, "etc/selinux/config"), "SELINUX=enforcing\nSELINUXTYPE=strict\n");
  writeFileSync(
    join(root, "etc/selinux/strict/contexts/lxc_contexts"),
    'process = "system_u:system_r:container_t:s0"\nfile = "system_u:object_r:boxes_t:s0"\n',
  );
});
after(() => rmSync(root, { recursive: true }));

const options = { level: "s0:c10,c20" };
const makePod = (spec: Partial<NonNullable<Pod["spec"]>>): Pod => ({
  metadata: {},
  spec: { containers: [{ name: "c", volumeMounts: [{ name: "v", mountPath: "/v" }] }], ...spec },
});
const pod = makePod({ securityContext: { seLinuxOptions: options } });
const driver: CSIDriver = { metadata: { name: "d" }, spec: { seLinuxMount: true } };
const volume: CsiVolume = {
  specName: "pv",
  driver: "d",
  handle: "h",
  lifecycle: "Persistent",
  block: false,
  readOnly: false,
  fsType: "",
  mountOptions: [],
  attributes: {},
  accessModes: ["ReadWriteOncePod"],
  stageSecret: undefined,
  publishSecret: undefined,
};

test("a volume of one Pod is mounted with the Pod's level in the policy's context", () => {
  assert.equal(seLinuxMountLabel(pod, "v", { volume, driver, root }), "system_u:object_r:boxes_t:s0:c10,c20");
});

const twoMinds = makePod({
  containers: ["a", "b"].map((name) => ({
    name,
    volumeMounts: [{ name: "v", mountPath: "/v" }],
    securityContext: { seLinuxOptions: { level: `s0:${name}` } },
  })),
});
const rows: readonly [why: string, pod: Pod, input: Partial<Parameters<typeof seLinuxMountLabel>[2]>][] = [
  ["a kernel without SELinux", pod, { root: "/nonexistent" }],
  ["a driver that does not know the option", pod, { driver: { ...driver, spec: {} } }],
  ["a volume that several Pods may use", pod, { volume: { ...volume, accessModes: ["ReadWriteOnce"] } }],
  ["a block device", pod, { volume: { ...volume, block: true } }],
  ["a Pod without options", makePod({}), {}],
  ["containers with different options", twoMinds, {}],
  [
    "a Pod that wants its files relabelled",
    makePod({ securityContext: { seLinuxOptions: options, seLinuxChangePolicy: "Recursive" } }),
    {},
  ],
];
for (const [why, who, input] of rows) {
  test(`no mount option for ${why}`, () => {
    assert.equal(seLinuxMountLabel(who, "v", { volume, driver, root, ...input }), undefined);
  });
}

test("every file of such a volume has the Pod's level from the start", {
  skip: existsSync("/sys/fs/selinux/enforce") ? false : "this kernel has no SELinux",
}, async () => {
  await using rig = await startVolumeRig();
  await using driver = await startBindDriver(rig.layout, {
    node: {
      nodeStageVolume: async ({ volumeCapability, stagingTargetPath: target }) => {
        const flags = volumeCapability?.accessType.case === "mount" ? volumeCapability.accessType.value.mountFlags : [];
        mount({ source: "volume", target, type: "tmpfs", ...parseMountOptions(flags) });
        return {};
      },
      nodeUnstageVolume: async ({ stagingTargetPath }) => {
        unmount(stagingTargetPath);
        return {};
      },
    },
  });
  rig.drivers.register(bindDriverName, driver.endpoint);
  const spec = { attachRequired: false, seLinuxMount: true };
  rig.api.create<CSIDriver>("csidrivers", { metadata: { name: bindDriverName }, spec });
  rig.createClaim("own", { accessModes: ["ReadWriteOncePod"] });
  const made = rig.createPod(
    "labelled",
    { v: "own" },
    { securityContext: { seLinuxOptions: { level: "s0:c10,c20" } } },
  );
  const mounted = (await rig.setUp(made)).get("v");
  assert(mounted?.kind === "folder");
  writeFileSync(join(mounted.hostPath, "file"), "");
  for (const path of [mounted.hostPath, join(mounted.hostPath, "file")])
    assert.match(lgetxattr(path, "security.selinux")?.toString() ?? "", /^system_u:object_r:\w+:s0:c10,c20\0?$/);
  await rig.tearDown(made);
  assert.deepEqual(rig.mounts(), []);
});
