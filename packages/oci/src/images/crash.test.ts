import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger } from "@tripod/base";
import { mountInfo } from "@tripod/linux";
import { tempRoot } from "@tripod/testing";
import { Images } from "../images.ts";
import { memoryImage, misbehavingRegistry } from "../registry/misbehaving-registry.ts";

const fixture = new URL("./crash-fixture.ts", import.meta.url).pathname;
const image = memoryImage(500_000);

async function killedAt(failpoint: string, args: readonly string[]): Promise<NodeJS.Signals | null> {
  const child = spawn(process.execPath, [fixture, ...args], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, TRIPOD_FAILPOINT: failpoint },
  });
  await once(child, "exit");
  return child.signalCode;
}

// Blobs come in this order: manifest, config, layer.
for (const failpoint of [
  "oci.ingest.written@1",
  "oci.ingest.written@4",
  "oci.ingest.synced@2",
  "oci.ingest.renamed@3",
  "oci.blob.downloaded@2",
  "oci.layer.unpacked",
  "oci.layer.described",
  "oci.layer.renamed",
  "oci.rootfs.recorded",
  "oci.writable.made",
  "oci.writable.mounted",
  "oci.writable.unmounted",
  "oci.writable.taken-away",
  "oci.rootfs.removed",
  "oci.mount.recorded",
  "oci.mount.mounted",
  "oci.mount.unmounted",
  "oci.view.recorded",
  "oci.blob.written",
  "oci.prune.forgotten",
  "oci.image.forgotten",
]) {
  test(`killed at ${failpoint}, everything can be asked for again and nothing is left over`, async () => {
    await using registry = await misbehavingRegistry(image);
    await using root = tempRoot();
    const name = `${registry.host}/app`;
    assert.equal(await killedAt(failpoint, [root.path, name]), "SIGKILL");
    const before = registry.requests.length;
    const images = await Images.open({ layout: root.layout, log: silentLogger });
    const pulled = await images.pull(name);
    if (failpoint === "oci.ingest.written@4") {
      const again = registry.requests.slice(before).find(({ url }) => url?.endsWith(image.layerDigest));
      assert.match(again?.headers.range ?? "", /^bytes=\d+-$/, "the download goes on where it was");
    }
    const { rootfs } = await images.prepareRootfs("c1", pulled.id);
    assert.ok(existsSync(join(rootfs, "file")));
    assert.equal(mountInfo().filter(({ mountPoint }) => mountPoint === rootfs).length, 1);
    await images.removeRootfs("c1");
    if (failpoint.startsWith("oci.mount.")) {
      assert.equal(images.mounts().length, failpoint === "oci.mount.mounted" ? 1 : 0);
      const { target } = await images.mount(name);
      assert.ok(existsSync(join(target, "file")));
      assert.deepEqual(images.unmount(), [target]);
      assert.equal(existsSync(target), false);
    }
    await images.remove(name);
    await images.collectGarbage();
    const { bytes, mountpoint } = await images.fsUsage();
    assert.equal(bytes, 0);
    assert.deepEqual(images.listRootfs(), []);
    assert.deepEqual(
      mountInfo().filter((entry) => entry.mountPoint.startsWith(root.path)),
      [],
    );
    await images[Symbol.asyncDispose](); // what was taken away is off the disk then
    for (const dir of [
      join(mountpoint, "tmp"),
      join(mountpoint, "containers"),
      join(root.layout.contentDir, "ingest"),
      join(root.layout.contentDir, "tmp"),
      join(root.layout.contentDir, "locks"),
    ]) {
      assert.deepEqual(readdirSync(dir), [], dir);
    }
  });
}

test("two processes pull and collect garbage on one store at once", async () => {
  await using registry = await misbehavingRegistry(image);
  await using root = tempRoot();
  const name = `${registry.host}/app`;
  await using images = await Images.open({ layout: root.layout, log: silentLogger });
  const child = spawn(process.execPath, [fixture, root.path, name], { stdio: ["ignore", "ignore", "inherit"] });
  const exited = once(child, "exit");
  while (child.exitCode === null && child.signalCode === null) {
    await Promise.all([images.pull(name), images.collectGarbage(), images.pull(`${registry.host}/other`)]);
    await images.untag(`${registry.host}/other`); // the image is the other process's, too
    await new Promise((resolve) => setImmediate(resolve));
  }
  await exited;
  assert.equal(child.exitCode, 0);
  await images.pull(name);
  const { rootfs } = await images.prepareRootfs("c2", name);
  assert.ok(existsSync(join(rootfs, "file")));
  await images.removeRootfs("c2");
});
