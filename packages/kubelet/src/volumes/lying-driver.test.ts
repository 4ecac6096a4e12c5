import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { CSIDriver, Pod } from "@tripod/api/kubernetes";
import { isTripodError } from "@tripod/base";
import type { NodeMethods } from "@tripod/csi";
import { bindMount } from "@tripod/linux";
import { type BindDriver, bindDriverName, startBindDriver } from "../testing/bind-driver.ts";
import { startVolumeRig, type VolumeRig } from "../testing/volume-rig.ts";

type Publish = NodeMethods["nodePublishVolume"];

let rig: VolumeRig;
let driver: BindDriver;
/** How volumes are published or taken away; the honest way when undefined. */
let publish: Publish = async () => ({});

before(async () => {
  rig = await startVolumeRig();
  driver = await startBindDriver(rig.layout, {
    node: {
      nodePublishVolume: (request, context) => publish(request, context),
      nodeUnpublishVolume: async () => ({}),
      nodeUnstageVolume: async () => ({}),
      async nodeGetInfo() {
        return { nodeId: "x".repeat(32 * 1024 * 1024) };
      },
    },
  });
  rig.drivers.register(bindDriverName, driver.endpoint);
  rig.api.create<CSIDriver>("csidrivers", { metadata: { name: bindDriverName }, spec: { attachRequired: false } });
});
after(async () => {
  await driver[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

const because = (pattern: RegExp) => (error: AggregateError) => {
  assert.match(String(error.errors[0]), pattern);
  return true;
};

let count = 0;

/** A Pod with a volume of its own. */
function createUser(volumeMode: "Filesystem" | "Block" = "Filesystem"): Pod {
  const name = `liar-${(count += 1)}`;
  rig.createClaim(name, { volumeMode });
  return rig.createPod(name, { v: name });
}

const rows: readonly [what: string, mode: "Filesystem" | "Block", publish: Publish, message: RegExp][] = [
  ["did nothing", "Filesystem", async () => ({}), /said that it published .* and there is nothing/],
  [
    "made a folder and mounted nothing",
    "Filesystem",
    async ({ targetPath }) => {
      mkdirSync(targetPath);
      return {};
    },
    /and nothing is mounted there/,
  ],
  [
    "made a link out of the volume",
    "Filesystem",
    async ({ targetPath }) => {
      symlinkSync("/etc", targetPath);
      return {};
    },
    /and there is no folder/,
  ],
  [
    "published somewhere else",
    "Filesystem",
    async ({ targetPath }) => {
      const elsewhere = join(targetPath, "../elsewhere");
      mkdirSync(elsewhere);
      bindMount("/etc", elsewhere);
      return {};
    },
    /and there is nothing/,
  ],
  [
    "published a file as a device",
    "Block",
    async ({ targetPath }) => {
      writeFileSync(targetPath, "");
      return {};
    },
    /and there is no block device/,
  ],
];
for (const [what, mode, lie, message] of rows) {
  test(`a driver that says it published a volume and ${what} is refused, and nothing is left`, async () => {
    publish = lie;
    const pod = createUser(mode);
    await assert.rejects(rig.setUp(pod), because(message));
    await rig.tearDown(pod);
    assert.deepEqual(rig.mounts(), []);
    assert.deepEqual(readdirSync(join(rig.layout.kubeletDir, "pods")), []);
    assert(readdirSync("/etc").length > 0);
  });
}

test("a driver that says it took a volume away and did not has its mounts detached, however many, and no data goes", async () => {
  const data = join(rig.layout.root ?? "", "data");
  mkdirSync(data);
  writeFileSync(join(data, "file"), "kept");
  publish = async ({ targetPath }) => {
    mkdirSync(targetPath);
    for (let times = 0; times < 3; times += 1) bindMount(data, targetPath);
    return {};
  };
  const pod = createUser();
  await rig.setUp(pod);
  assert.equal(rig.mounts().length, 4);
  await rig.tearDown(pod);
  assert.deepEqual(rig.mounts(), []);
  assert.equal(readFileSync(join(data, "file"), "utf8"), "kept");
});

test("a driver that never answers is given up at the deadline, and holds no other volume up", async () => {
  await rig.restart({ callTimeoutMs: 300 });
  const never = Promise.withResolvers<object>();
  publish = async ({ volumeId, targetPath }) => {
    if (volumeId === "handle-hanging") return never.promise;
    mkdirSync(targetPath);
    bindMount("/usr", targetPath);
    return {};
  };
  rig.createClaim("hanging");
  rig.createClaim("quick");
  const pod = rig.createPod("hanging", { hangs: "hanging", quick: "quick" });
  await assert.rejects(rig.setUp(pod), (error: AggregateError) => {
    assert.equal(error.errors.length, 1);
    assert.match(String(error.errors[0]), /volume "hangs" : .*[Dd]eadline/);
    return true;
  });
  assert(rig.mounts().some((path) => path.includes("pv-quick")));
  never.resolve({});
  await rig.tearDown(pod);
  assert.deepEqual(rig.mounts(), []);
});

test("an answer of tens of megabytes is refused before it is read", async () => {
  await assert.rejects(rig.drivers.get(bindDriverName).node.nodeGetInfo({}), (error) =>
    isTripodError(error, "exhausted"),
  );
});
