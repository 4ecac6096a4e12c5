import { topic } from "../suite/spec.ts";

export const idempotence = topic("idempotence", {
  async "StopPodSandbox of an unknown sandbox succeeds"(world) {
    await world.runtime.stopPodSandbox({ podSandboxId: world.unique("nothing") });
  },
  async "StopPodSandbox succeeds again and again"(world) {
    const { id } = await world.sandbox();
    for (let n = 0; n < 3; n += 1) await world.runtime.stopPodSandbox({ podSandboxId: id });
  },
  async "RemovePodSandbox of an unknown sandbox succeeds"(world) {
    await world.runtime.removePodSandbox({ podSandboxId: world.unique("nothing") });
  },
  async "stop and remove of a removed sandbox succeed"(world) {
    const { id } = await world.sandbox();
    await world.removeSandbox(id);
    await world.removeSandbox(id);
  },
  async "StopContainer of an unknown container succeeds"(world) {
    await world.runtime.stopContainer({ containerId: world.unique("nothing"), timeout: 0n });
  },
  async "StopContainer of a stopped container succeeds"(world) {
    const containerId = await world.run(await world.pod());
    for (let n = 0; n < 3; n += 1) await world.runtime.stopContainer({ containerId, timeout: 0n });
  },
  async "StopContainer of a container that was never started succeeds"(world) {
    const containerId = await world.create(await world.pod());
    await world.runtime.stopContainer({ containerId, timeout: 0n });
  },
  async "StopContainer of a removed container succeeds"(world) {
    const containerId = await world.run(await world.pod());
    await world.runtime.removeContainer({ containerId });
    await world.runtime.stopContainer({ containerId, timeout: 0n });
  },
  async "RemoveContainer of an unknown container succeeds"(world) {
    await world.runtime.removeContainer({ containerId: world.unique("nothing") });
  },
  async "RemoveContainer of a removed container succeeds"(world) {
    const containerId = await world.run(await world.pod());
    await world.runtime.removeContainer({ containerId });
    await world.runtime.removeContainer({ containerId });
  },
  async "RemoveImage of an unknown image succeeds"(world) {
    await world.images.removeImage({ image: { image: world.session.imageName(`${world.unique("nothing")}:1`) } });
    await world.images.removeImage({ image: { image: `sha256:${"0".repeat(64)}` } });
  },
});
