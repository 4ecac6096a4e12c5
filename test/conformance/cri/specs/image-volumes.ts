import assert from "node:assert/strict";
import { notImplemented, topic } from "../suite/spec.ts";
import { refused, type World } from "../suite/world.ts";

/** A runtime that does not know the field sees a mount of nothing. */
async function withVolume(world: World, change: { readonly readonly?: boolean; readonly imageSubPath?: string } = {}) {
  const ref = await world.imageRef("volume:1");
  const mount = {
    containerPath: "/volume",
    readonly: true,
    image: { image: ref, userSpecifiedImage: world.session.imageName("volume:1") },
    ...change,
  };
  return { ref, create: async () => world.create(await world.pod(), { mounts: [mount] }) };
}

async function needVolumes(world: World, creation: Promise<string>): Promise<string> {
  try {
    return await creation;
  } catch (error) {
    if (/mkdir|stat .*no such file|failed to generate/.test(String(error)))
      notImplemented(`the image of a mount is not looked at: ${String(error)}`);
    throw error;
  }
}

export const imageVolumes = topic("image volumes", {
  async "an image is mounted, read-only"(world) {
    const { create } = await withVolume(world);
    const containerId = await needVolumes(world, create());
    await world.runtime.startContainer({ containerId });
    assert.equal(await world.exec(containerId, "cat", "/volume/data/file"), "of the volume");
    assert.match(await world.execFails(containerId, "touch", "/volume/file"), /Read-only file system/);
  },
  async "the status tells which image is mounted"(world) {
    const { ref, create } = await withVolume(world);
    const { mounts } = await world.status(await needVolumes(world, create()));
    const mount = mounts.find(({ containerPath }) => containerPath === "/volume");
    assert.ok(mount?.image, "the mount has no image");
    if (mount.image.imageRef === "") notImplemented("the image of a mount has no image_ref");
    assert.equal(mount.image.imageRef, ref);
  },
  async "a folder of an image is mounted"(world) {
    const { create } = await withVolume(world, { imageSubPath: "data/inner" });
    const containerId = await needVolumes(world, create());
    await world.runtime.startContainer({ containerId });
    assert.equal(await world.exec(containerId, "cat", "/volume/file"), "of the inner folder");
    assert.equal(await world.exec(containerId, "ls", "/volume"), "file");
  },
  async "a folder that the image does not have is refused"(world) {
    await needVolumes(world, (await withVolume(world)).create());
    await refused((await withVolume(world, { imageSubPath: "there/is/none" })).create());
  },
  async "a way out of the image is refused, or ends at the image's own root"(world) {
    await needVolumes(world, (await withVolume(world)).create());
    const { create } = await withVolume(world, { imageSubPath: "../../../../../../etc" });
    const containerId = await create().catch(() => undefined); // to refuse it is right too
    if (containerId === undefined) return;
    await world.runtime.startContainer({ containerId });
    assert.match(await world.exec(containerId, "cat", "/volume/group"), /^of-the-image:/m);
  },
  async "a writable image is refused"(world) {
    await needVolumes(world, (await withVolume(world)).create());
    await refused((await withVolume(world, { readonly: false })).create());
  },
});
