import assert from "node:assert/strict";
import { ContainerState, NamespaceMode, PodSandboxState } from "@tripod/api/cri";
import { cgroupsOf, processesWith } from "../suite/host-processes.ts";
import { oddAnnotations, oddLabels } from "../suite/odd-texts.ts";
import { skip, topic } from "../suite/spec.ts";
import { refused } from "../suite/world.ts";

export const sandboxes = topic("sandboxes", {
  async "a sandbox is ready when RunPodSandbox answers, and is listed"(world) {
    const before = BigInt(Date.now()) * 1_000_000n;
    const { id } = await world.sandbox();
    const status = await world.sandboxStatus(id);
    assert.equal(status.id, id);
    assert.equal(status.state, PodSandboxState.SANDBOX_READY);
    assert.ok(status.createdAt >= before - 1_000_000_000n, "createdAt is older than the request");
    assert.ok(status.createdAt <= BigInt(Date.now() + 1000) * 1_000_000n, "createdAt is in the future");
    const { items } = await world.runtime.listPodSandbox({});
    assert.ok(items.some((item) => item.id === id && item.state === PodSandboxState.SANDBOX_READY));
  },
  async "metadata, labels and annotations come back unaltered, by status and by list"(world) {
    const name = world.unique("attributes");
    const metadata = { name, namespace: "a-namespace", uid: "a-uid", attempt: 2 };
    const { id } = await world.sandbox({ metadata, labels: oddLabels, annotations: oddAnnotations });
    const status = await world.sandboxStatus(id);
    const [item] = (await world.runtime.listPodSandbox({ filter: { id } })).items;
    for (const shown of [status, item]) {
      const { $typeName: _type, ...found } = shown?.metadata ?? assert.fail("there is no metadata");
      assert.deepEqual(found, metadata);
      assert.deepEqual({ ...shown?.labels }, oddLabels);
      assert.deepEqual({ ...shown?.annotations }, oddAnnotations);
    }
  },
  async "a stopped sandbox is not ready and stays listed until it is removed"(world) {
    const { id } = await world.sandbox();
    await world.runtime.stopPodSandbox({ podSandboxId: id });
    assert.equal((await world.sandboxStatus(id)).state, PodSandboxState.SANDBOX_NOTREADY);
    assert.equal((await world.runtime.listPodSandbox({ filter: { id } })).items.length, 1);
    await world.runtime.removePodSandbox({ podSandboxId: id });
    await refused(world.runtime.podSandboxStatus({ podSandboxId: id }), "not-found");
    assert.deepEqual((await world.runtime.listPodSandbox({ filter: { id } })).items, []);
  },
  async "stopping a sandbox kills the containers in it"(world) {
    const sandbox = await world.sandbox();
    const container = await world.run(sandbox);
    await world.runtime.stopPodSandbox({ podSandboxId: sandbox.id });
    const { state, exitCode } = await world.status(container);
    assert.equal(state, ContainerState.CONTAINER_EXITED);
    assert.equal(exitCode, 137);
  },
  async "removing a ready sandbox removes its containers, also the running ones"(world) {
    const sandbox = await world.sandbox();
    const running = await world.run(sandbox);
    const created = await world.create(sandbox);
    await world.runtime.removePodSandbox({ podSandboxId: sandbox.id });
    for (const containerId of [running, created])
      await refused(world.runtime.containerStatus({ containerId }), "not-found");
    const { containers } = await world.runtime.listContainers({ filter: { podSandboxId: sandbox.id } });
    assert.deepEqual(containers, []);
  },
  async "no container is created in a stopped sandbox"(world) {
    const sandbox = await world.sandbox();
    await world.runtime.stopPodSandbox({ podSandboxId: sandbox.id });
    await refused(world.create(sandbox));
  },
  async "no container is started in a stopped sandbox"(world) {
    const sandbox = await world.sandbox();
    const containerId = await world.create(sandbox);
    await world.runtime.stopPodSandbox({ podSandboxId: sandbox.id });
    await refused(world.runtime.startContainer({ containerId }));
  },
  async "a sandbox without metadata is refused"(world) {
    const { metadata: _none, ...config } = await world.sandboxConfig();
    await refused(world.runtime.runPodSandbox({ config }));
    await refused(world.runtime.runPodSandbox({}));
  },
  async "the same metadata never makes a second sandbox while the first is there"(world) {
    const config = await world.sandboxConfig({ labels: { which: world.unique("twice") } });
    const first = await world.runSandbox(config);
    const again = await world.runtime.runPodSandbox({ config }).then(
      ({ podSandboxId }) => podSandboxId,
      () => first.id,
    );
    assert.equal(again, first.id);
    const { items } = await world.runtime.listPodSandbox({ filter: { labelSelector: config.labels ?? {} } });
    assert.equal(items.length, 1);
  },
  async "another attempt makes a sandbox beside the first"(world) {
    const { metadata, ...config } = await world.sandboxConfig();
    const first = await world.runSandbox({ ...config, metadata: { ...metadata, attempt: 0 } });
    const second = await world.runSandbox({ ...config, metadata: { ...metadata, attempt: 1 } });
    assert.notEqual(first.id, second.id);
  },
  async "the name of a removed sandbox can be used at once"(world) {
    const config = await world.sandboxConfig();
    const first = await world.runSandbox(config);
    await world.removeSandbox(first.id);
    const second = await world.runSandbox(config);
    assert.notEqual(first.id, second.id);
  },
  async "an unknown runtime handler is refused, and leaves no sandbox"(world) {
    const config = await world.sandboxConfig({ labels: { which: world.unique("handler") } });
    await refused(world.runtime.runPodSandbox({ config, runtimeHandler: "there-is-no-such-handler" }));
    const { items } = await world.runtime.listPodSandbox({ filter: { labelSelector: config.labels ?? {} } });
    assert.deepEqual(items, []);
  },
  async "the status of an unknown sandbox is NOT_FOUND"(world) {
    await refused(world.runtime.podSandboxStatus({ podSandboxId: world.unique("nothing") }), "not-found");
  },
  async "the verbose status has more to tell"(world) {
    const { id } = await world.pod();
    assert.deepEqual(Object.keys((await world.runtime.podSandboxStatus({ podSandboxId: id })).info), []);
    const { info } = await world.runtime.podSandboxStatus({ podSandboxId: id, verbose: true });
    assert.notDeepEqual(Object.keys(info), []);
  },
  async "the status shows the namespaces that were asked for"(world) {
    const namespaceOptions = { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.NODE };
    const { id } = await world.sandbox({ linux: { securityContext: { namespaceOptions } } });
    const options = (await world.sandboxStatus(id)).linux?.namespaces?.options;
    assert.deepEqual(
      [options?.network, options?.pid, options?.ipc],
      [NamespaceMode.NODE, NamespaceMode.CONTAINER, NamespaceMode.NODE],
    );
  },
  async "a safe sysctl is set in the sandbox"(world) {
    const sandbox = await world.sandbox({ linux: { sysctls: { "kernel.shm_rmid_forced": "1" } } });
    assert.equal(await world.output(sandbox, "cat /proc/sys/kernel/shm_rmid_forced"), "1");
  },
  async "an unsafe sysctl of a namespace is set in the sandbox"(world) {
    const sandbox = await world.sandbox({
      linux: { sysctls: { "fs.mqueue.msg_max": "100", "net.ipv4.ip_forward": "0" } },
    });
    assert.equal(await world.output(sandbox, "cat /proc/sys/fs/mqueue/msg_max"), "100");
    assert.equal(await world.output(sandbox, "cat /proc/sys/net/ipv4/ip_forward"), "0");
  },
  async "a sysctl that does not exist is refused, and leaves no sandbox"(world) {
    const labels = { which: world.unique("sysctl") };
    const config = await world.sandboxConfig({ labels, linux: { sysctls: { "net.there_is_none": "1" } } });
    await refused(world.runtime.runPodSandbox({ config }));
    const { items } = await world.runtime.listPodSandbox({ filter: { labelSelector: labels } });
    assert.deepEqual(items, []);
  },
  async "a container's cgroup lies below the sandbox's cgroup parent"(world) {
    const sandbox = await world.sandbox();
    const cgroupParent = sandbox.config.linux?.cgroupParent ?? "";
    if (cgroupParent === "") skip("the runtime leaves cgroups to systemd");
    const word = world.unique("marked");
    await world.run(sandbox, { command: ["sh", "-c", "while :; do sleep 1000; done", word] });
    const [pid] = processesWith(word);
    if (pid === undefined) skip("the runtime's processes cannot be seen from here");
    const paths = cgroupsOf(pid);
    assert.ok(
      paths.some((path) => path.startsWith(`${cgroupParent}/`)),
      `it is in ${paths.join(", ")}`,
    );
  },
});
