import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { silentLogger } from "@tripod/base";
import { tempRoot, type TempRoot } from "@tripod/testing";
import { type Digest, hexOf } from "../digest.ts";
import { Images } from "../images.ts";
import { memoryImage, misbehavingRegistry, type MisbehavingRegistry } from "../registry/misbehaving-registry.ts";
import type { VerifyOptions } from "./verify-store.ts";

const image = memoryImage(300_000);
const stack = new AsyncDisposableStack();
let root: TempRoot;
let registry: MisbehavingRegistry;
let images: Images;
let name: string;
let chainId: Digest;

const blobPath = (digest: Digest): string => join(root.layout.contentDir, "blobs/sha256", hexOf(digest));
/** The one file of the image, unpacked. */
const file = (): string => join(root.layout.snapshotsDir, hexOf(chainId), "fs/file");

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x80, at);
  writeFileSync(path, bytes);
}

const damaged = async (options?: VerifyOptions) =>
  (await images.verify(options)).damaged.map(({ kind, digest, problem, repair }) => ({
    kind,
    digest,
    problem: problem.replaceAll(/sha256:[0-9a-f]+/g, "DIGEST"),
    repair: repair?.done === false ? repair.why : repair?.done,
  }));

before(async () => {
  root = stack.use(tempRoot());
  registry = stack.use(await misbehavingRegistry(image));
  images = stack.use(await Images.open({ layout: root.layout, log: silentLogger, keepDamaged: true }));
  name = `${registry.host}/app`;
  ({ chainId } = await images.pull(name));
});
after(() => stack.disposeAsync());

test("verify says what it has looked at", async () => {
  const { blobs, blobBytes, layers, files, damaged: found } = await images.verify({ deep: true });
  assert.deepEqual([blobs, layers, files, found], [3, 1, 1, []]);
  assert.equal(blobBytes, image.layer.length + image.config.length + image.manifest.length);
});

for (const { what, digest, damage, problem } of [
  {
    what: "a changed layer",
    digest: image.layerDigest,
    damage: (path: string) => flip(path, 100),
    problem: /^its \d+ bytes have the digest DIGEST$/,
  },
  {
    what: "a truncated layer",
    digest: image.layerDigest,
    damage: (path: string) => truncateSync(path, 5),
    problem: /^its 5 bytes have/,
  },
  {
    what: "a manifest that is gone",
    digest: image.manifestDigest,
    damage: (path: string) => rmSync(path),
    problem: /^is missing$/,
  },
]) {
  test(`${what} is found, left alone, and fetched again where that is asked for`, async () => {
    damage(blobPath(digest));
    const found = await damaged();
    assert.deepEqual(await damaged(), found);
    assert.deepEqual(
      found.map((each) => [each.kind, each.digest, each.repair]),
      [["blob", digest, undefined]],
    );
    assert.match(found[0]?.problem ?? "", problem);
    assert.deepEqual(
      (await damaged({ repair: true })).map(({ repair }) => repair),
      [true],
    );
    assert.deepEqual(await damaged({ deep: true }), []);
  });
}

test("an unpacked file that lost its content is found by its size, one that changed by a comparison; blobs mend them", async () => {
  const asked = registry.requests.length;
  truncateSync(file(), 0);
  assert.match((await damaged())[0]?.problem ?? "", /^is not what it was unpacked as: "file": 0 bytes instead of \d+$/);
  assert.deepEqual(
    (await damaged({ repair: true })).map(({ kind, repair }) => [kind, repair]),
    [["layer", true]],
  );
  flip(file(), 4096);
  assert.deepEqual(await damaged(), [], "its size is as it was");
  assert.equal((await damaged({ deep: true })).length, 1);
  assert.deepEqual(
    (await damaged({ deep: true, repair: true })).map(({ repair }) => repair),
    [true],
  );
  assert.deepEqual(await damaged({ deep: true }), []);
  assert.equal(registry.requests.length, asked, "no registry was asked");
});

test("a layer and its blob that are both damaged are fetched again", async () => {
  truncateSync(file(), 10);
  rmSync(blobPath(image.layerDigest));
  assert.deepEqual(
    (await damaged({ repair: true })).map(({ kind, repair }) => [kind, repair]),
    [
      ["blob", true],
      ["layer", true],
    ],
  );
  assert.deepEqual(await damaged({ deep: true }), []);
});

test("a damaged layer stays as long as a container uses it", async () => {
  await images.prepareRootfs("c1", name);
  truncateSync(file(), 0);
  assert.equal((await damaged({ repair: true }))[0]?.repair, "container c1 uses it; remove that, then repair");
  await images.removeRootfs("c1");
  assert.equal((await damaged({ repair: true }))[0]?.repair, true);
});

test("what was built here and is damaged can only be told", async () => {
  const context = join(root.path, "context");
  mkdirSync(context);
  writeFileSync(join(context, "built"), "here");
  const built = await images.build({ context, tags: ["built"] });
  rmSync(blobPath(built.layers[0]?.digest ?? built.id));
  assert.deepEqual(
    (await damaged({ repair: true })).map(({ repair }) => repair),
    ["it was built or imported here; build or import it again"],
  );
  await images.remove("built");
  assert.deepEqual(await damaged({ deep: true }), []);
});
