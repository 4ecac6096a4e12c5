import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import type { Image } from "@tripod/api/cri";
import { notImplemented, skip, topic } from "../suite/spec.ts";
import { refused, type World } from "../suite/world.ts";

const imageStatus = async (world: World, image: string): Promise<Image | undefined> =>
  (await world.images.imageStatus({ image: { image } })).image;

const present = async (world: World, image: string): Promise<Image> =>
  (await imageStatus(world, image)) ?? assert.fail(`there is no image ${image}`);

/** The images of the list that have this tag. */
const listed = async (world: World, tag: string): Promise<Image[]> =>
  (await world.images.listImages({})).images.filter(({ repoTags }) => repoTags.includes(tag));

export const images = topic("images", {
  async "an image is pulled by a tag, listed, and removed"(world) {
    const { name, ref } = await world.pull("tagged:1");
    assert.notEqual(ref, "");
    const image = await present(world, name);
    assert.deepEqual(image.repoTags, [name]);
    assert.ok(image.size > 0n, "its size is 0");
    assert.equal(image.repoDigests.length, 1);
    assert.deepEqual(
      (await listed(world, name)).map(({ id }) => id),
      [image.id],
    );
    await world.images.removeImage({ image: { image: image.id } });
    assert.equal(await imageStatus(world, name), undefined);
    assert.equal(await imageStatus(world, image.id), undefined);
    assert.deepEqual(await listed(world, name), []);
  },
  async "a name without a tag means latest"(world) {
    const { name } = await world.pull("untagged");
    assert.deepEqual((await present(world, name)).repoTags, [`${name}:latest`]);
  },
  async "an image that is pulled by digest has no tag"(world) {
    const { name } = await world.pull("digest:1");
    const { id, repoDigests } = await present(world, name);
    await world.images.removeImage({ image: { image: id } });
    const digest = repoDigests[0] ?? "";
    assert.match(digest, /@sha256:[0-9a-f]{64}$/);
    const { imageRef } = await world.images.pullImage({ image: { image: digest } });
    const image = await present(world, digest);
    assert.equal(image.id, imageRef);
    assert.deepEqual(image.repoTags, []);
    assert.deepEqual(image.repoDigests, [digest]);
  },
  async "tags, digests and ids all lead to the same image"(world) {
    const { name } = await world.pull("references:1");
    const image = await present(world, name);
    for (const reference of [image.id, ...image.repoTags, ...image.repoDigests])
      assert.deepEqual(await present(world, reference), image, `asked for ${reference}`);
  },
  async "the status of an absent image is an empty reply"(world) {
    const name = world.session.imageName(`${world.unique("nothing")}:1`);
    assert.equal(await imageStatus(world, name), undefined);
  },
  async "the status of no image at all is refused"(world) {
    await refused(world.images.imageStatus({ image: { image: "" } }).then(({ image }) => assert.ok(image)));
  },
  async "a pull of what the registry does not have is NOT_FOUND"(world) {
    const image = world.session.imageName(`${world.unique("nothing")}:1`);
    await refused(world.images.pullImage({ image: { image } }), "not-found");
  },
  async "a pull of what is no name of an image is refused"(world) {
    await refused(world.images.pullImage({ image: { image: "NO IMAGE::" } }));
    await refused(world.images.pullImage({ image: { image: "" } }));
  },
  async "a pull whose deadline passes is DEADLINE_EXCEEDED, and works when it is asked for again"(world) {
    const image = world.session.imageName("deadline:1");
    await refused(world.images.pullImage({ image: { image } }, { timeoutMs: 1 }), "timeout");
    const { name } = await world.pull("deadline:1");
    await present(world, name);
  },
  async "a pull that is cancelled works when it is asked for again at once"(world) {
    const image = { image: { image: world.session.imageName("cancelled:1") } };
    for (const ms of [0, 2, 5, 10]) {
      const stop = AbortSignal.timeout(ms);
      await world.images.pullImage(image, { signal: stop }).catch(() => undefined); // it may have been faster
    }
    const { name } = await world.pull("cancelled:1");
    await present(world, name);
  },
  async "pulls of the same image at the same time all succeed with the same reference"(world) {
    const name = world.session.imageName("together:1");
    const pulls = Array.from({ length: 5 }, () => world.images.pullImage({ image: { image: name } }));
    const refs = new Set((await Promise.all(pulls)).map(({ imageRef }) => imageRef));
    await world.pull("together:1");
    assert.equal(refs.size, 1);
  },
  async "three images have three ids, and each its own tag"(world) {
    const refs = new Set<string>();
    for (const n of [1, 2, 3]) {
      const { name, ref } = await world.pull(`different:${n}`);
      refs.add(ref);
      const [image, ...more] = await listed(world, name);
      assert.deepEqual(more, []);
      assert.ok(image?.id === ref, `PullImage answered ${ref}, the list has ${image?.id}`);
    }
    assert.equal(refs.size, 3);
  },
  async "one image under three tags is one image"(world) {
    const pulled = [];
    for (const n of [1, 2, 3]) pulled.push(await world.pull(`shared-tags:${n}`));
    assert.equal(new Set(pulled.map(({ ref }) => ref)).size, 1);
    const names = pulled.map(({ name }) => name).toSorted();
    const [image] = await listed(world, names[0] ?? "");
    assert.deepEqual(image?.repoTags.toSorted(), names);
  },
  async "removing one tag removes the image with all its tags"(world) {
    const pulled = [];
    for (const n of [1, 2, 3]) pulled.push(await world.pull(`tags:${n}`));
    await world.images.removeImage({ image: { image: pulled[0]?.name ?? "" } });
    for (const { name, ref } of pulled) {
      assert.equal(await imageStatus(world, name), undefined, name);
      assert.equal(await imageStatus(world, ref), undefined, ref);
    }
  },
  async "the same image of two registries has one id"(world) {
    if (!world.session.target.registry.startsWith("127.0.0.1:"))
      skip("the registry has no second name: it is not on the loopback address");
    const { name, ref } = await world.pull("registries:1");
    const second = name.replace("127.0.0.1", "localhost");
    const { imageRef } = await world.images.pullImage({ image: { image: second } });
    assert.equal(imageRef, ref);
    assert.deepEqual((await present(world, name)).repoTags.toSorted(), [name, second].toSorted());
    await world.images.removeImage({ image: { image: second } });
    assert.equal(await imageStatus(world, name), undefined);
  },
  async "an image is gone as soon as it is removed, and there as soon as it is pulled, time after time"(world) {
    for (let n = 0; n < 3; n += 1) {
      const { name } = await world.pull("removal:1");
      assert.equal((await listed(world, name)).length, 1);
      await present(world, name);
      await world.images.removeImage({ image: { image: name } });
      assert.deepEqual(await listed(world, name), []);
      assert.equal(await imageStatus(world, name), undefined);
    }
  },
  async "removals of the same image at the same time all succeed"(world) {
    const { name, ref } = await world.pull("racing:1");
    await Promise.all(Array.from({ length: 5 }, () => world.images.removeImage({ image: { image: ref } })));
    assert.equal(await imageStatus(world, name), undefined);
  },
  async "PullImage, ImageStatus, ContainerStatus and ListContainers tell the same id of an image"(world) {
    const { name, ref } = await world.pull("ids:1");
    assert.equal((await present(world, name)).id, ref);
    const image = { image: ref, userSpecifiedImage: name };
    const id = await world.run(await world.pod(), { image });
    const status = await world.status(id);
    const [item] = (await world.runtime.listContainers({ filter: { id } })).containers;
    if (status.imageId === "") notImplemented("ContainerStatus has no image_id");
    assert.equal(status.imageId, ref);
    assert.equal(item?.imageId, ref);
    assert.equal(status.image?.userSpecifiedImage, name);
  },
  async "a container goes on when its image is removed"(world) {
    const { ref } = await world.pull("in-use:1");
    const id = await world.run(await world.pod(), { image: { image: ref } });
    await world.images.removeImage({ image: { image: ref } });
    assert.equal(await world.exec(id, "cat", "/data/file"), "of the volume");
  },
  async "the user of an image is told as uid or as name, its group left out"(world) {
    for (const [image, uid, username] of [
      ["user-uid:1", 1002n, ""],
      ["user-uid-group:1", 1003n, ""],
      ["user-name:1", undefined, "www"],
      ["user-name-group:1", undefined, "www"],
    ] as const) {
      const status = await present(world, await world.imageRef(image));
      assert.equal(status.uid?.value, uid, image);
      assert.equal(status.username, username, image);
    }
  },
  async "the verbose status has more to tell"(world) {
    const image = { image: world.image };
    assert.deepEqual(Object.keys((await world.images.imageStatus({ image })).info), []);
    assert.notDeepEqual(Object.keys((await world.images.imageStatus({ image, verbose: true })).info), []);
  },
  async "ImageFsInfo tells where images are and how much they take"(world) {
    const { imageFilesystems } = await world.images.imageFsInfo({});
    const [usage] = imageFilesystems;
    assert.ok(usage, "there is no file system");
    assert.ok(existsSync(usage.fsId?.mountpoint ?? ""), `${usage.fsId?.mountpoint} does not exist`);
    assert.ok((usage.usedBytes?.value ?? 0n) > 0n, "no bytes are used");
    assert.ok((usage.inodesUsed?.value ?? 0n) > 0n, "no inodes are used");
    assert.ok(usage.timestamp > 0n, "there is no time");
  },
  async "ImageFsInfo tells where containers write"(world) {
    const { containerFilesystems } = await world.images.imageFsInfo({});
    if (containerFilesystems.length === 0) notImplemented("ImageFsInfo has no container_filesystems");
    assert.ok(existsSync(containerFilesystems[0]?.fsId?.mountpoint ?? ""));
  },
});
