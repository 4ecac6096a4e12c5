import assert from "node:assert/strict";
import { ContainerState, PodSandboxState } from "@tripod/api/cri";
import { topic } from "../suite/spec.ts";
import type { World } from "../suite/world.ts";

type SandboxFilter = NonNullable<Parameters<World["runtime"]["listPodSandbox"]>[0]["filter"]>;
type ContainerFilter = NonNullable<Parameters<World["runtime"]["listContainers"]>[0]["filter"]>;

const sandboxIds = async (world: World, filter: SandboxFilter): Promise<string[]> =>
  (await world.runtime.listPodSandbox({ filter })).items.map(({ id }) => id).toSorted();
const containerIds = async (world: World, filter: ContainerFilter): Promise<string[]> =>
  (await world.runtime.listContainers({ filter })).containers.map(({ id }) => id).toSorted();

export const filters = topic("filters", {
  async "sandboxes are filtered by id, by the beginning of an id, by state, by labels, and by all of them"(world) {
    const which = world.unique("filtered");
    const ready = (await world.sandbox({ labels: { which, is: "ready" } })).id;
    const stopped = (await world.sandbox({ labels: { which, is: "stopped", more: "" } })).id;
    await world.runtime.stopPodSandbox({ podSandboxId: stopped });
    const both = [ready, stopped].toSorted();
    const is = { state: PodSandboxState.SANDBOX_READY };
    const isNot = { state: PodSandboxState.SANDBOX_NOTREADY };
    assert.deepEqual(await sandboxIds(world, { id: ready }), [ready]);
    assert.deepEqual(await sandboxIds(world, { id: ready.slice(0, 20) }), [ready]);
    assert.deepEqual(await sandboxIds(world, { labelSelector: { which } }), both);
    assert.deepEqual(await sandboxIds(world, { labelSelector: { which, is: "ready" } }), [ready]);
    assert.deepEqual(await sandboxIds(world, { labelSelector: { which, more: "" } }), [stopped]);
    assert.deepEqual(await sandboxIds(world, { labelSelector: { which, is: "other" } }), []);
    assert.deepEqual(await sandboxIds(world, { labelSelector: { which }, state: is }), [ready]);
    assert.deepEqual(await sandboxIds(world, { labelSelector: { which }, state: isNot }), [stopped]);
    assert.deepEqual(await sandboxIds(world, { id: ready, state: isNot }), []);
    assert.deepEqual(await sandboxIds(world, { id: ready, state: is, labelSelector: { which } }), [ready]);
    assert.deepEqual(await sandboxIds(world, { id: ready, labelSelector: { is: "stopped" } }), []);
  },
  async "an id that no sandbox has selects none"(world) {
    assert.deepEqual(await sandboxIds(world, { id: "0".repeat(64) }), []);
  },
  async "without a filter every sandbox is listed"(world) {
    const { id } = await world.pod();
    for (const request of [{}, { filter: {} }])
      assert.ok((await world.runtime.listPodSandbox(request)).items.some((item) => item.id === id));
  },
  async "containers are filtered by id, beginning of an id, sandbox, state, labels, and all of them"(world) {
    const which = world.unique("filtered");
    const sandbox = await world.sandbox();
    const created = await world.create(sandbox, { labels: { which, is: "created" } });
    const running = await world.run(sandbox, { labels: { which, is: "running" } });
    const exited = await world.shell(sandbox, "exit 0", { labels: { which, is: "exited" } });
    await world.exited(exited);
    const elsewhere = await world.create(await world.pod(), { labels: { which, is: "elsewhere" } });
    const here = [created, running, exited].toSorted();
    const state = (of: ContainerState) => ({ state: of });
    const labelSelector = { which };
    assert.deepEqual(await containerIds(world, { id: running }), [running]);
    assert.deepEqual(await containerIds(world, { id: running.slice(0, 20) }), [running]);
    assert.deepEqual(await containerIds(world, { podSandboxId: sandbox.id }), here);
    assert.deepEqual(await containerIds(world, { podSandboxId: sandbox.id.slice(0, 20) }), here);
    assert.deepEqual(await containerIds(world, { labelSelector }), [...here, elsewhere].toSorted());
    assert.deepEqual(await containerIds(world, { labelSelector: { which, is: "exited" } }), [exited]);
    for (const [of, id] of [
      [ContainerState.CONTAINER_CREATED, created],
      [ContainerState.CONTAINER_RUNNING, running],
      [ContainerState.CONTAINER_EXITED, exited],
    ] as const)
      assert.deepEqual(await containerIds(world, { podSandboxId: sandbox.id, state: state(of) }), [id]);
    assert.deepEqual(await containerIds(world, { id: running, state: state(ContainerState.CONTAINER_EXITED) }), []);
    assert.deepEqual(await containerIds(world, { id: elsewhere, podSandboxId: sandbox.id }), []);
    assert.deepEqual(await containerIds(world, { id: running, podSandboxId: sandbox.id, labelSelector }), [running]);
  },
  async "an id that no container or no sandbox has selects no container"(world) {
    await world.create(await world.pod());
    assert.deepEqual(await containerIds(world, { id: "0".repeat(64) }), []);
    assert.deepEqual(await containerIds(world, { podSandboxId: "0".repeat(64) }), []);
  },
  async "images are filtered by name, tag, digest and id"(world) {
    const { name, ref } = await world.pull("filtered:1");
    const { image } = await world.images.imageStatus({ image: { image: name } });
    for (const asked of [name, ref, image?.id ?? "", image?.repoDigests[0] ?? ""]) {
      const { images } = await world.images.listImages({ filter: { image: { image: asked } } });
      assert.deepEqual(
        images.map(({ id }) => id),
        [image?.id],
        `asked for ${asked}`,
      );
    }
    const nothing = world.session.imageName(`${world.unique("nothing")}:1`);
    assert.deepEqual((await world.images.listImages({ filter: { image: { image: nothing } } })).images, []);
  },
});
