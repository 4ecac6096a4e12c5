import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@tripod/base";
import { tempRoot } from "@tripod/testing";
import { Images } from "../images.ts";
import { memoryImage, misbehavingRegistry } from "../registry/misbehaving-registry.ts";

test("a pinned image outlasts pruning, another pull and a restart, until it is let go", async () => {
  await using registry = await misbehavingRegistry(memoryImage(1000));
  await using root = tempRoot();
  const name = `${registry.host}/app:latest`;
  const open = (): Promise<Images> => Images.open({ layout: root.layout, log: silentLogger });
  {
    await using images = await open();
    await images.pull(name);
    images.pin(name, true);
    assert.throws(() => images.pin("nothing", true), { code: "not-found" });
    assert.equal((await images.pull(name)).pinned, true);
  }
  await using images = await open();
  assert.deepEqual((await images.prune({ all: true })).images, []);
  assert.equal(images.get(name)?.pinned, true);
  images.pin(name, false);
  assert.equal((await images.prune({ all: true })).images.length, 1);
  assert.deepEqual(images.list(), []);
});
