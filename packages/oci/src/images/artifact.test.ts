import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, silentLogger } from "@tripod/base";
import { startRegistry, tempRoot } from "@tripod/testing";
import { digestOf } from "../digest.ts";
import { Images } from "../images.ts";
import { artifactFiles } from "../spec/artifact.ts";
import { putManifest, putBlob } from "../registry/testing/put-content.ts";

const digest = (letter: string) => `sha256:${letter.repeat(64)}` as const;
const layer = (letter: string, title?: string) => ({
  mediaType: "text/plain",
  digest: digest(letter),
  size: 1,
  ...(title !== undefined && { annotations: { "org.opencontainers.image.title": title } }),
});

test("an artifact is pulled, kept, pushed on and listed, but never run", async () => {
  await using registry = await startRegistry();
  const base = `http://${registry.host}`;
  const [config, model, card] = ["{}", "weights".repeat(1000), "# card"].map((text) => Buffer.from(text));
  assert.ok(config && model && card);
  for (const bytes of [config, model, card]) await putBlob(base, { repository: "team/model", bytes });
  const of = (bytes: Buffer, mediaType: string, title?: string) => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
    ...(title !== undefined && { annotations: { "org.opencontainers.image.title": title } }),
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    artifactType: "application/vnd.example.model",
    config: of(config, "application/vnd.oci.empty.v1+json"),
    layers: [of(model, "application/octet-stream", "weights/model.bin"), of(card, "text/markdown")],
  };
  const pushed = await putManifest(base, { repository: "team/model", tag: "1", manifest });
  await using root = tempRoot();
  await using images = await Images.open({ layout: root.layout, log: silentLogger });
  const name = `${registry.host}/team/model:1`;
  const image = await images.pull(name);
  assert.equal(image.id, pushed, "the config of all artifacts may be the same: the manifest tells them apart");
  assert.equal(image.artifact?.type, "application/vnd.example.model");
  assert.deepEqual(
    image.artifact.files.map(({ path, blob }) => [path, blob.digest]),
    [
      ["weights/model.bin", digestOf(model)],
      [digestOf(card).slice(7), digestOf(card)],
    ],
  );
  assert.deepEqual(images.get(name)?.repoDigests, [`${registry.host}/team/model@${pushed}`]);
  await assert.rejects(images.prepareRootfs("c1", name), { code: "invalid", message: /mount it as an image volume/ });

  const { target } = await images.mount(name);
  assert.equal(readFileSync(join(target, "weights/model.bin"), "utf8"), "weights".repeat(1000));
  assert.deepEqual(readdirSync(target).toSorted(), [digestOf(card).slice(7), "weights"].toSorted());
  assert.throws(() => writeFileSync(join(target, "new"), ""), { code: "EROFS" });
  assert.equal(lstatSync(join(target, "weights/model.bin")).mode & 0o7777, 0o644);
  assert.equal((await images.collectGarbage()).layers, 0, "what is mounted stays");
  assert.deepEqual(images.unmount({ target }), [target]);
  assert.equal((await images.collectGarbage()).layers, 1, "what nothing shows goes; the blobs stay");
  const copy = join(root.path, "copy");
  await images.copyRootfs(name, copy);
  assert.equal(readFileSync(join(copy, digestOf(card).slice(7)), "utf8"), "# card");
  assert.equal((await images.collectGarbage()).layers, 1);
  assert.equal((await images.verify()).damaged.length, 0);
  assert.equal(await images.push(name, { target: `${registry.host}/copy:2` }), `${registry.host}/copy@${pushed}`);
  const seen = await runCommand("skopeo", [
    "inspect",
    "--raw",
    "--tls-verify=false",
    `docker://${registry.host}/copy:2`,
  ]);
  assert.equal(digestOf(seen.stdout), pushed);
  await images.remove(name);
  assert.deepEqual(images.list(), []);
});

test("the files of an artifact stay inside its volume", () => {
  for (const [titles, why] of [
    [["../etc/passwd"], /no path inside a volume/],
    [["/etc/passwd"], /no path inside a volume/],
    [["a//b"], /no path inside a volume/],
    [["a/./b"], /no path inside a volume/],
    [["a\0"], /no path inside a volume/],
    [["x".repeat(300)], /no path inside a volume/],
    [["a", "a"], /is there twice/],
    [["a/b", "a"], /is a folder of another file/],
    [["a", "a/b/c"], /is a folder of another file/],
  ] as const) {
    assert.throws(
      () =>
        artifactFiles(
          titles.map((title, index) => layer(String(index), title)),
          "x",
        ),
      {
        code: "invalid",
        message: why,
      },
    );
  }
  assert.deepEqual(
    artifactFiles([layer("a"), layer("b", "b/c"), layer("c", "b/d")], "x").map(({ path }) => path),
    ["a".repeat(64), "b/c", "b/d"],
  );
});

test("killed at oci.artifact.placed, an artifact can be mounted, and nothing half made is left", async () => {
  await using registry = await startRegistry();
  const base = `http://${registry.host}`;
  const [config, file] = [Buffer.from("{}"), Buffer.from("weights")];
  for (const bytes of [config, file]) await putBlob(base, { repository: "model", bytes });
  const of = (bytes: Buffer) => ({
    mediaType: "application/octet-stream",
    digest: digestOf(bytes),
    size: bytes.length,
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    artifactType: "application/vnd.example.model",
    config: { ...of(config), mediaType: "application/vnd.oci.empty.v1+json" },
    layers: [of(file)],
  };
  await putManifest(base, { repository: "model", tag: "1", manifest });
  await using root = tempRoot();
  const name = `${registry.host}/model:1`;
  const fixture = join(import.meta.dirname, "crash-fixture.ts");
  const child = spawn(process.execPath, [fixture, root.path, name], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, TRIPOD_FAILPOINT: "oci.artifact.placed" },
  });
  await once(child, "exit");
  assert.equal(child.signalCode, "SIGKILL");
  await using images = await Images.open({ layout: root.layout, log: silentLogger });
  const { target } = await images.mount(name);
  assert.equal(readFileSync(join(target, digestOf(file).slice(7)), "utf8"), "weights");
  assert.deepEqual(images.unmount({ target }), [target]);
  await images.remove(name);
  await images.collectGarbage();
  const { bytes, mountpoint } = await images.fsUsage();
  assert.equal(bytes, 0);
  assert.deepEqual(readdirSync(join(mountpoint, "tmp")), []);
});
