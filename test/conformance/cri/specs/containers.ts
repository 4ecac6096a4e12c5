import assert from "node:assert/strict";
import { ContainerState } from "@tripod/api/cri";
import { oddAnnotations, oddLabels } from "../suite/odd-texts.ts";
import { notImplemented, topic } from "../suite/spec.ts";
import { refused, type World } from "../suite/world.ts";

const entry = async (world: World) => ({ image: { image: await world.imageRef("entry:1") } });

export const containers = topic("containers", {
  async "a container is created, running, exited, with the times of each"(world) {
    const id = await world.create(await world.pod(), { command: ["cat"], stdin: true, stdinOnce: true });
    const created = await world.status(id);
    assert.equal(created.state, ContainerState.CONTAINER_CREATED);
    assert.ok(created.createdAt > 0n, "createdAt is not set");
    assert.equal(created.startedAt, 0n);
    assert.equal(created.finishedAt, 0n);
    await world.runtime.startContainer({ containerId: id });
    const running = await world.status(id);
    assert.equal(running.state, ContainerState.CONTAINER_RUNNING);
    assert.ok(running.startedAt >= created.createdAt, "it was started before it was created");
    assert.equal(running.finishedAt, 0n);
    await world.runtime.stopContainer({ containerId: id, timeout: 0n });
    const ended = await world.status(id);
    assert.equal(ended.state, ContainerState.CONTAINER_EXITED);
    assert.ok(ended.finishedAt >= ended.startedAt, "it finished before it was started");
    assert.equal(ended.startedAt, running.startedAt);
    assert.equal(ended.createdAt, created.createdAt);
  },
  async "metadata, labels and annotations come back unaltered, by status and by list"(world) {
    const metadata = { name: world.unique("attributes"), attempt: 3 };
    const id = await world.create(await world.pod(), { metadata, labels: oddLabels, annotations: oddAnnotations });
    const [item] = (await world.runtime.listContainers({ filter: { id } })).containers;
    for (const shown of [await world.status(id), item]) {
      const { $typeName: _type, ...found } = shown?.metadata ?? assert.fail("there is no metadata");
      assert.deepEqual(found, metadata);
      assert.deepEqual({ ...shown?.labels }, oddLabels);
      assert.deepEqual({ ...shown?.annotations }, oddAnnotations);
    }
  },
  async "the list shows a container with its sandbox, image and state"(world) {
    const pod = await world.pod();
    const id = await world.run(pod);
    const [item, ...more] = (await world.runtime.listContainers({ filter: { id } })).containers;
    assert.deepEqual(more, []);
    assert.equal(item?.podSandboxId, pod.id);
    assert.equal(item?.image?.image, world.image);
    assert.notEqual(item?.imageRef, "");
    assert.equal(item?.state, ContainerState.CONTAINER_RUNNING);
    assert.equal(item?.createdAt, (await world.status(id)).createdAt);
  },
  async "a program that ends with 0 is Completed"(world) {
    const id = await world.shell(await world.pod(), "exit 0");
    const { exitCode, reason } = await world.exited(id);
    assert.deepEqual([exitCode, reason], [0, "Completed"]);
  },
  async "a program that ends with another code is an Error with that code"(world) {
    const pod = await world.pod();
    for (const code of [1, 42, 255]) {
      const { exitCode, reason } = await world.exited(await world.shell(pod, `exit ${code}`));
      assert.deepEqual([exitCode, reason], [code, "Error"]);
    }
  },
  async "a program that a signal ends has 128 and the signal's number as exit code"(world) {
    const id = await world.shell(await world.pod(), "sh -c 'kill -SEGV $$'; exit $?");
    assert.equal((await world.exited(id)).exitCode, 139);
    const killed = await world.run(await world.pod());
    await world.runtime.stopContainer({ containerId: killed, timeout: 0n });
    assert.equal((await world.status(killed)).exitCode, 137);
  },
  async "a container that uses more memory than its limit is OOMKilled"(world) {
    const resources = { memoryLimitInBytes: 16n << 20n, memorySwapLimitInBytes: 16n << 20n };
    const command = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"];
    const id = await world.run(await world.pod(), { command, linux: { resources } });
    const { exitCode, reason } = await world.exited(id);
    assert.deepEqual([exitCode, reason], [137, "OOMKilled"]);
  },
  async "a container whose child is killed for want of memory, and that goes on, keeps its own end"(world) {
    const resources = { memoryLimitInBytes: 16n << 20n, memorySwapLimitInBytes: 16n << 20n };
    // Of the two the kernel is to choose the child.
    const child = "echo 1000 >/proc/self/oom_score_adj; exec dd if=/dev/zero of=/dev/null bs=200M count=1";
    const script = `sh -c '${child}'; exit 0`;
    const id = await world.shell(await world.pod(), script, { linux: { resources } });
    const { exitCode, reason } = await world.exited(id);
    assert.deepEqual([exitCode, reason], [0, "Completed"]);
  },
  async "a container is started once only"(world) {
    const pod = await world.pod();
    const running = await world.run(pod);
    await refused(world.runtime.startContainer({ containerId: running }));
    const ended = await world.shell(pod, "exit 0");
    await world.exited(ended);
    await refused(world.runtime.startContainer({ containerId: ended }));
  },
  async "a created, a running and an ended container are removed"(world) {
    const pod = await world.pod();
    const created = await world.create(pod);
    const running = await world.run(pod);
    const ended = await world.shell(pod, "exit 0");
    await world.exited(ended);
    for (const containerId of [created, running, ended]) {
      await world.runtime.removeContainer({ containerId });
      await refused(world.runtime.containerStatus({ containerId }), "not-found");
    }
  },
  async "calls on an unknown container are NOT_FOUND"(world) {
    const containerId = world.unique("nothing");
    await refused(world.runtime.containerStatus({ containerId }), "not-found");
    await refused(world.runtime.startContainer({ containerId }), "not-found");
    await refused(world.runtime.execSync({ containerId, cmd: ["true"] }), "not-found");
    await refused(world.runtime.reopenContainerLog({ containerId }), "not-found");
    await refused(world.runtime.containerStats({ containerId }), "not-found");
    await refused(world.runtime.updateContainerResources({ containerId, linux: { cpuShares: 2n } }), "not-found");
  },
  async "a container in an unknown sandbox is NOT_FOUND"(world) {
    const podSandboxId = world.unique("nothing");
    const request = { podSandboxId, config: world.containerConfig(), sandboxConfig: await world.sandboxConfig() };
    await refused(world.runtime.createContainer(request), "not-found");
  },
  async "a container without metadata or configuration is refused"(world) {
    const pod = await world.pod();
    const { metadata: _none, ...config } = world.containerConfig();
    await refused(world.runtime.createContainer({ podSandboxId: pod.id, config, sandboxConfig: pod.config }));
    await refused(world.runtime.createContainer({ podSandboxId: pod.id, sandboxConfig: pod.config }));
  },
  async "a container of an image that is not there is NOT_FOUND"(world) {
    const image = { image: world.session.imageName(`${world.unique("nothing")}:1`) };
    await refused(world.create(await world.pod(), { image }), "not-found");
  },
  async "a container without an image is refused"(world) {
    const { image: _none, ...config } = world.containerConfig();
    const pod = await world.pod();
    await refused(world.runtime.createContainer({ podSandboxId: pod.id, config, sandboxConfig: pod.config }));
  },
  async "the same metadata never makes a second container while the first is there"(world) {
    const pod = await world.pod();
    const labels = { which: world.unique("twice") };
    const config = world.containerConfig({ labels });
    const first = await world.create(pod, config);
    const again = await world.create(pod, config).catch(() => first);
    assert.equal(again, first);
    assert.equal((await world.runtime.listContainers({ filter: { labelSelector: labels } })).containers.length, 1);
  },
  async "another attempt makes a container beside the first"(world) {
    const pod = await world.pod();
    const { metadata, ...config } = world.containerConfig();
    const first = await world.create(pod, { ...config, metadata: { ...metadata, attempt: 0 } });
    const second = await world.create(pod, { ...config, metadata: { ...metadata, attempt: 1 } });
    assert.notEqual(first, second);
  },
  async "the name of a removed container can be used at once"(world) {
    const pod = await world.pod();
    const config = world.containerConfig();
    const first = await world.run(pod, config);
    await world.runtime.removeContainer({ containerId: first });
    assert.notEqual(await world.run(pod, config), first);
  },
  async "a program that is not there fails the creation or the start, and leaves nothing running"(world) {
    const pod = await world.pod();
    const labels = { which: world.unique("no-program") };
    const config = world.containerConfig({ labels, command: ["/there/is/no/such/program"] });
    const error = await refused(world.run(pod, config));
    assert.match(error.message, /no such file or directory|not found/i);
    for (const { state } of (await world.runtime.listContainers({ filter: { labelSelector: labels } })).containers)
      assert.notEqual(state, ContainerState.CONTAINER_RUNNING);
  },
  async "after a failed creation the same name can be used at once"(world) {
    const pod = await world.pod();
    const config = world.containerConfig();
    await refused(
      world.create(pod, { ...config, linux: { securityContext: { runAsUsername: "nobody-has-this-name" } } }),
    );
    await world.run(pod, config);
  },
  async "without command and args the image's entrypoint and command run"(world) {
    assert.equal(
      await world.output(await world.pod(), "", { ...(await entry(world)), command: [] }),
      "entry from image",
    );
  },
  async "args alone take the place of the image's command and not of its entrypoint"(world) {
    const args = ["and", "args"];
    assert.equal(
      await world.output(await world.pod(), "", { ...(await entry(world)), command: [], args }),
      "entry and args",
    );
  },
  async "a command takes the place of both the image's entrypoint and its command"(world) {
    const pod = await world.pod();
    const command = ["/bin/echo", "command"];
    assert.equal(await world.output(pod, "", { ...(await entry(world)), command }), "command");
    assert.equal(await world.output(pod, "", { ...(await entry(world)), command, args: ["args"] }), "command args");
  },
  async "the environment is the image's with the request's over it"(world) {
    const bytes = (text: string) => new TextEncoder().encode(text);
    const envs = [
      { key: "BOTH", value: bytes("request") },
      { key: "OWN", value: bytes("a=b c") },
      { key: "EMPTY", value: bytes("") },
    ];
    const script = "echo $FROM_IMAGE-$BOTH-$OWN-${EMPTY-unset}";
    const change = { ...(await entry(world)), command: ["sh", "-c", script], envs };
    assert.equal(await world.output(await world.pod(), "", change), "image-request-a=b c-");
  },
  async "the working folder is the request's, else the image's, and is made when it is missing"(world) {
    const pod = await world.pod();
    const change = { ...(await entry(world)), command: ["pwd"] };
    assert.equal(await world.output(pod, "", change), "/www");
    assert.equal(await world.output(pod, "", { ...change, workingDir: "/tmp" }), "/tmp");
    assert.equal(await world.output(pod, "", { ...change, workingDir: "/made/for/it" }), "/made/for/it");
  },
  async "a container with a terminal has one, and without has none"(world) {
    const pod = await world.pod();
    const script = "test -t 1 && echo terminal || echo none";
    assert.equal(await world.output(pod, script, { tty: true }), "terminal");
    assert.equal(await world.output(pod, script), "none");
  },
  async "standard input is empty unless it is asked for"(world) {
    assert.equal(await world.output(await world.pod(), "cat; echo end"), "end");
  },
  async "the status tells image, id of the image, log and mounts"(world) {
    const { imageRef } = await world.images.pullImage({ image: { image: world.image } });
    const config = world.containerConfig();
    const hostPath = world.folder();
    const mounts = [{ containerPath: "/mnt", hostPath, readonly: true }];
    const pod = await world.sandbox();
    const status = await world.status(await world.create(pod, { ...config, mounts }));
    assert.equal(status.image?.image, world.image);
    assert.notEqual(status.imageRef, "");
    assert.equal(status.logPath, `${pod.config.logDirectory}/${config.logPath}`);
    assert.equal(status.mounts.length, 1);
    const [mount] = status.mounts;
    assert.deepEqual([mount?.containerPath, mount?.hostPath, mount?.readonly], ["/mnt", hostPath, true]);
    if (status.imageId === "") notImplemented("ContainerStatus has no image_id");
    assert.equal(status.imageId, imageRef);
  },
  async "the verbose status has more to tell"(world) {
    const containerId = await world.run(await world.pod());
    assert.deepEqual(Object.keys((await world.runtime.containerStatus({ containerId })).info), []);
    assert.notDeepEqual(Object.keys((await world.runtime.containerStatus({ containerId, verbose: true })).info), []);
  },
});
