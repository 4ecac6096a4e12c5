import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ContainerState, NamespaceMode, PodSandboxState } from "@tripod/api/cri";
import { isTripodError } from "@tripod/base";
import { openRtnetlink } from "@tripod/linux";
import { possibleOomScore } from "./container/oom-score.ts";
import { startTestNode, type TestNode } from "./testing/test-node.ts";

let node: TestNode;
before(async () => {
  node = await startTestNode();
});
after(async () => {
  await node[Symbol.asyncDispose]();
});

test("Version and Status tell that runtime and network are ready", async () => {
  assert.equal((await node.runtime.version({ version: "v1" })).runtimeApiVersion, "v1");
  const reply = await node.runtime.status({ verbose: true });
  assert.deepEqual(
    reply.status?.conditions.map(({ type, status, reason }) => [type, status, reason]),
    [
      ["RuntimeReady", true, ""],
      ["NetworkReady", true, ""],
    ],
  );
  assert.ok(reply.runtimeHandlers.some(({ name }) => name === "runc"));
  assert.ok("config" in reply.info);
});

test("a sandbox and a container live from creation to removal, and leave nothing behind", async () => {
  const { runtime } = node;
  const config = node.sandboxConfig({ labels: { app: "a" }, annotations: { "x/y": "unaltered \n" } });
  const { podSandboxId } = await runtime.runPodSandbox({ config });
  const sandbox = (await runtime.podSandboxStatus({ podSandboxId })).status;
  assert.equal(sandbox?.state, PodSandboxState.SANDBOX_READY);
  assert.match(sandbox?.network?.ip ?? "", /^10\.77\.0\.\d+$/);
  assert.deepEqual(sandbox?.annotations, { "x/y": "unaltered \n" });

  const containerId = await node.create(podSandboxId, "echo out; echo err >&2; hostname; exit 3", {
    labels: { tier: "b" },
  });
  assert.equal((await runtime.containerStatus({ containerId })).status?.state, ContainerState.CONTAINER_CREATED);
  await runtime.startContainer({ containerId });
  const status = await node.reached(containerId, ContainerState.CONTAINER_EXITED);
  assert.equal(status.exitCode, 3);
  assert.equal(status.reason, "Error");
  assert.ok(status.startedAt <= status.finishedAt && status.createdAt <= status.startedAt);
  const image = (await node.images.imageStatus({ image: { image: node.image } })).image;
  assert.equal(status.imageId, image?.id);
  assert.equal(status.image?.image, node.image);
  const byId = await node.create(podSandboxId, "true", { image: { image: image?.id ?? "" } });
  assert.equal((await runtime.containerStatus({ containerId: byId })).status?.image?.image, node.image);
  assert.deepEqual((await node.log(containerId)).toSorted(), [
    "stderr F err",
    "stdout F out",
    `stdout F ${config.hostname}`,
  ]);

  await runtime.removeContainer({ containerId });
  await runtime.removeContainer({ containerId });
  await runtime.stopPodSandbox({ podSandboxId });
  await runtime.stopPodSandbox({ podSandboxId });
  const stopped = (await runtime.podSandboxStatus({ podSandboxId })).status;
  assert.equal(stopped?.state, PodSandboxState.SANDBOX_NOTREADY);
  await runtime.removePodSandbox({ podSandboxId });
  await runtime.removePodSandbox({ podSandboxId });
  await assert.rejects(runtime.podSandboxStatus({ podSandboxId }), (error) => isTripodError(error, "not-found"));
  assert.deepEqual(node.leaks(), []);
});

test("lists filter by id prefix, state and labels together", async () => {
  const { runtime } = node;
  const one = await runtime.runPodSandbox({ config: node.sandboxConfig({ labels: { app: "one", all: "y" } }) });
  const two = await runtime.runPodSandbox({ config: node.sandboxConfig({ labels: { app: "two", all: "y" } }) });
  await runtime.stopPodSandbox({ podSandboxId: two.podSandboxId });
  const ids = async (filter: object): Promise<string[]> =>
    (await runtime.listPodSandbox({ filter })).items.map(({ id }) => id).toSorted();
  const both = [one.podSandboxId, two.podSandboxId].toSorted();
  assert.deepEqual(await ids({ labelSelector: { all: "y" } }), both);
  assert.deepEqual(await ids({ labelSelector: { all: "y", app: "one" } }), [one.podSandboxId]);
  assert.deepEqual(await ids({ labelSelector: { all: "y" }, state: { state: PodSandboxState.SANDBOX_NOTREADY } }), [
    two.podSandboxId,
  ]);
  assert.deepEqual(await ids({ id: one.podSandboxId.slice(0, 13), labelSelector: { all: "y" } }), [one.podSandboxId]);
  assert.deepEqual(await ids({ id: one.podSandboxId, labelSelector: { app: "two" } }), []);
  const streamed: string[] = [];
  for await (const { podSandboxes } of runtime.streamPodSandboxes({ filter: { labelSelector: { all: "y" } } })) {
    streamed.push(...podSandboxes.map(({ id }) => id));
  }
  assert.deepEqual(streamed.toSorted(), both);
  for (const podSandboxId of both) await runtime.removePodSandbox({ podSandboxId });
});

test("a request that is repeated while the first one runs, or after it, gets the same sandbox and container", async () => {
  const { runtime } = node;
  const config = node.sandboxConfig();
  const isTaken = (error: unknown): boolean => isTripodError(error, "already-exists");
  const [first, second] = await Promise.all([
    runtime.runPodSandbox({ config }),
    runtime.runPodSandbox({ config }),
    assert.rejects(runtime.runPodSandbox({ config: { ...config, hostname: "other" } }), isTaken),
  ]);
  assert.equal(first.podSandboxId, second.podSandboxId);
  assert.equal((await runtime.runPodSandbox({ config })).podSandboxId, first.podSandboxId);
  await assert.rejects(runtime.runPodSandbox({ config: { ...config, hostname: "other" } }), isTaken);
  const change = { metadata: { name: "twice", attempt: 0 }, logPath: "twice.log" };
  const ids = await Promise.all([
    ...[1, 2].map(() => node.create(first.podSandboxId, "sleep 100", change)),
    assert.rejects(node.create(first.podSandboxId, "sleep 200", change), isTaken),
  ]);
  assert.equal(ids[0], ids[1]);
  await runtime.removePodSandbox({ podSandboxId: first.podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("StopContainer sends the stop signal, waits, then kills", async () => {
  const { runtime } = node;
  const { podSandboxId } = await runtime.runPodSandbox({ config: node.sandboxConfig() });
  const polite = await node.run(podSandboxId, "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done");
  const deaf = await node.run(podSandboxId, "trap '' TERM; echo ready; while :; do sleep 0.05; done");
  for (const id of [polite, deaf]) {
    // The trap is set once the line is there.
    while (!(await node.log(id)).includes("stdout F ready")) await runtime.execSync({ containerId: id, cmd: ["true"] });
  }
  await runtime.stopContainer({ containerId: polite, timeout: 20n });
  assert.equal((await runtime.containerStatus({ containerId: polite })).status?.exitCode, 7);
  await runtime.stopContainer({ containerId: deaf, timeout: 1n });
  const killed = (await runtime.containerStatus({ containerId: deaf })).status;
  assert.equal(killed?.exitCode, 137);
  assert.equal(killed?.reason, "Error");
  await runtime.stopContainer({ containerId: deaf, timeout: 1n });
  await runtime.removePodSandbox({ podSandboxId });
});

test("a container that is stopped before it hears signals gets its stop signal once it does", async () => {
  const { runtime } = node;
  const { podSandboxId } = await runtime.runPodSandbox({ config: node.sandboxConfig() });
  const starting = "while [ ! -e /go ]; do sleep 0.02; done; trap 'exit 7' TERM; while :; do sleep 0.05; done";
  const containerId = await node.run(podSandboxId, `echo ready; ${starting}`);
  while (!(await node.log(containerId)).includes("stdout F ready")) await runtime.version({});
  const stopped = runtime.stopContainer({ containerId, timeout: 600n });
  await runtime.version({}); // the stop is under way
  await runtime.execSync({ containerId, cmd: ["touch", "/go"] });
  await stopped;
  assert.equal((await runtime.containerStatus({ containerId })).status?.exitCode, 7);
  await runtime.removePodSandbox({ podSandboxId });
});

test("ExecSync returns output and exit code, caps nothing small, and kills what takes too long", async () => {
  const { runtime } = node;
  const { podSandboxId } = await runtime.runPodSandbox({ config: node.sandboxConfig() });
  const containerId = await node.run(podSandboxId, "sleep 1000");
  const reply = await runtime.execSync({ containerId, cmd: ["sh", "-c", "echo $FOO; echo no >&2; exit 5"] });
  assert.equal(Buffer.from(reply.stdout).toString(), "bar\n");
  assert.equal(Buffer.from(reply.stderr).toString(), "no\n");
  assert.equal(reply.exitCode, 5);
  const big = await runtime.execSync({ containerId, cmd: ["sh", "-c", "head -c 3000000 /dev/zero"] });
  assert.equal(big.stdout.length, 3_000_000);
  await assert.rejects(
    runtime.execSync({ containerId, cmd: ["sh", "-c", "sleep 777 & sleep 778"], timeout: 1n }),
    (error) => isTripodError(error, "timeout"),
  );
  const { stdout } = await runtime.execSync({ containerId, cmd: ["ps"] });
  assert.doesNotMatch(Buffer.from(stdout).toString(), /sleep 77/);
  await assert.rejects(runtime.execSync({ containerId, cmd: ["/no/such"] }), /no such file|not found/);
  // What is left in the background without the output lives on.
  const left = await runtime.execSync({ containerId, cmd: ["sh", "-c", "sleep 779 >/dev/null 2>&1 & echo done"] });
  assert.equal(Buffer.from(left.stdout).toString(), "done\n");
  await runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("creations that fail say why and leave nothing", async () => {
  const { runtime } = node;
  const { podSandboxId } = await runtime.runPodSandbox({ config: node.sandboxConfig() });
  await assert.rejects(node.create(podSandboxId, "true", { image: { image: "example.org/absent:1" } }), (error) => {
    assert.ok(isTripodError(error, "not-found"));
    assert.match(error.message, /example\.org\/absent:1/);
    return true;
  });
  await assert.rejects(node.create(podSandboxId, "", { command: ["/bin/nonsense"] }), /\/bin\/nonsense/);
  await assert.rejects(
    node.create(podSandboxId, "true", { linux: { securityContext: { runAsUsername: "stranger" } } }),
    /stranger/,
  );
  await assert.rejects(node.create("0".repeat(64), "true"), (error) => isTripodError(error, "not-found"));
  // The name is free again.
  const change = { metadata: { name: "again", attempt: 0 }, logPath: "again.log" };
  await assert.rejects(node.create(podSandboxId, "", { ...change, command: ["/bin/nonsense"] }));
  await node.create(podSandboxId, "true", change);
  assert.equal((await runtime.listContainers({})).containers.length, 1);
  await runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("a container that runs out of memory is told apart", async () => {
  const { runtime } = node;
  const { podSandboxId } = await runtime.runPodSandbox({ config: node.sandboxConfig() });
  const containerId = await node.run(podSandboxId, "exec tail /dev/zero", {
    linux: { resources: { memoryLimitInBytes: 32n * 1024n * 1024n } },
  });
  const status = await node.reached(containerId, ContainerState.CONTAINER_EXITED);
  assert.equal(status.reason, "OOMKilled");
  assert.equal(status.exitCode, 137);
  await runtime.removePodSandbox({ podSandboxId });
});

test("limits are set, changed and reported", async () => {
  const { runtime } = node;
  const { podSandboxId } = await runtime.runPodSandbox({ config: node.sandboxConfig() });
  const containerId = await node.run(podSandboxId, "sleep 1000", {
    linux: { resources: { cpuShares: 512n, memoryLimitInBytes: 64n * 1024n * 1024n } },
  });
  await runtime.updateContainerResources({ containerId, linux: { memoryLimitInBytes: 128n * 1024n * 1024n } });
  const { status } = await runtime.containerStatus({ containerId });
  assert.equal(status?.resources?.linux?.memoryLimitInBytes, 128n * 1024n * 1024n);
  assert.equal(status?.resources?.linux?.cpuShares, 512n);
  const { stats } = await runtime.containerStats({ containerId });
  assert.ok((stats?.memory?.usageBytes?.value ?? 0n) > 0n);
  const available = stats?.memory?.availableBytes?.value ?? 0n;
  assert.ok(available > 64n * 1024n * 1024n && available <= 128n * 1024n * 1024n, `available ${available}`);
  const pod = (await runtime.podSandboxStats({ podSandboxId })).stats;
  assert.equal(pod?.linux?.containers.length, 1);
  assert.equal(pod?.linux?.network?.defaultInterface?.name, "eth0");
  assert.equal((await runtime.listContainerStats({ filter: { podSandboxId } })).stats.length, 1);
  await runtime.removePodSandbox({ podSandboxId });
});

test("an update's OOM score reaches the container's first process, and no lower than this machine lets us", async () => {
  const { runtime } = node;
  const { podSandboxId } = await runtime.runPodSandbox({ config: node.sandboxConfig() });
  const containerId = await node.run(podSandboxId, "sleep 1000", { linux: { resources: { oomScoreAdj: 300n } } });
  const scores = async (): Promise<string> => {
    const cmd = ["cat", "/proc/1/oom_score_adj", "/proc/self/oom_score_adj"];
    return Buffer.from((await runtime.execSync({ containerId, cmd })).stdout).toString();
  };
  assert.equal(await scores(), "300\n300\n");
  for (const wanted of [700, -998]) {
    await runtime.updateContainerResources({ containerId, linux: { oomScoreAdj: BigInt(wanted) } });
    assert.equal(await scores(), `${possibleOomScore(wanted)}\n300\n`);
    const { status } = await runtime.containerStatus({ containerId });
    assert.equal(status?.resources?.linux?.oomScoreAdj, BigInt(wanted));
  }
  await runtime.removePodSandbox({ podSandboxId });
});

for (const [asked, namespaceOptions] of [
  ["is asked for", { pid: NamespaceMode.POD }],
  ["is the default of the CRI", undefined],
] as const)
  test(`a PID namespace that the containers share, which ${asked}, shows them to one another; an own one does not`, async () => {
    const { runtime } = node;
    const { linux: _asKubeletsAsk, ...silent } = node.sandboxConfig();
    const linux = { securityContext: { ...(namespaceOptions !== undefined && { namespaceOptions }) } };
    const { podSandboxId } = await runtime.runPodSandbox({
      config: namespaceOptions === undefined ? silent : { ...silent, linux },
    });
    await node.run(podSandboxId, "sleep 4711", { linux });
    const other = await node.run(podSandboxId, "sleep 4712", { linux });
    const own = await node.run(podSandboxId, "sleep 4713", {
      linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } },
    });
    const ps = async (containerId: string): Promise<string> =>
      Buffer.from((await runtime.execSync({ containerId, cmd: ["ps"] })).stdout).toString();
    assert.match(await ps(other), /sleep 4711/);
    assert.match(await ps(other), /1 65534 +\/init -P|1 nobody +\/init -P/);
    assert.doesNotMatch(await ps(own), /sleep 4711/);
    await runtime.stopPodSandbox({ podSandboxId });
    await runtime.removePodSandbox({ podSandboxId });
    assert.deepEqual(node.leaks(), []);
  });

test("the host's network gives no address and leaves the host's as it is", async () => {
  const { runtime } = node;
  const namespaceOptions = { network: NamespaceMode.NODE, ipc: NamespaceMode.NODE, pid: NamespaceMode.NODE };
  const { podSandboxId } = await runtime.runPodSandbox({
    config: node.sandboxConfig({ linux: { securityContext: { namespaceOptions } } }),
  });
  assert.equal((await runtime.podSandboxStatus({ podSandboxId })).status?.network?.ip, "");
  const containerId = await node.run(podSandboxId, "ip link; sleep 1000 & sleep 1001", {
    linux: { securityContext: { namespaceOptions } },
  });
  const { stdout } = await runtime.execSync({ containerId, cmd: ["ip", "link"] });
  assert.match(Buffer.from(stdout).toString(), new RegExp(node.layout.bridge));
  await runtime.stopContainer({ containerId, timeout: 0n });
  await runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("security settings reach the process", async () => {
  const { runtime } = node;
  const { podSandboxId } = await runtime.runPodSandbox({
    config: node.sandboxConfig({
      linux: { sysctls: { "net.ipv4.ip_unprivileged_port_start": "99", "kernel.shm_rmid_forced": "1" } },
    }),
  });
  const containerId = await node.run(podSandboxId, "sleep 1000", {
    linux: {
      resources: { oomScoreAdj: -500n },
      securityContext: {
        runAsUser: { value: 80n },
        supplementalGroups: [1234n],
        noNewPrivs: true,
        readonlyRootfs: true,
        capabilities: { dropCapabilities: ["ALL"], addCapabilities: ["NET_BIND_SERVICE"] },
        seccomp: { profileType: 0 },
        maskedPaths: ["/proc/keys"],
        readonlyPaths: ["/proc/sys"],
      },
    },
  });
  const exec = async (script: string): Promise<string> => {
    const reply = await runtime.execSync({ containerId, cmd: ["sh", "-c", script] });
    return Buffer.from(reply.stdout).toString() + Buffer.from(reply.stderr).toString();
  };
  assert.match(await exec("id"), /uid=80\(www\) gid=80\(www\) groups=80\(www\),1234/);
  const status = await exec("cat /proc/1/status");
  assert.match(status, /^NoNewPrivs:\s+1$/m);
  assert.match(status, /^Seccomp:\s+2$/m);
  assert.match(status, /^CapBnd:\s+0000000000000400$/m);
  assert.match(await exec("touch /x"), /Read-only file system/);
  assert.match(await exec("wc -c < /proc/keys"), /^0$/m);
  assert.match(
    await exec("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"),
    /99\n1/,
  );
  assert.match(await exec("unshare -r true; mount -t tmpfs x /tmp"), /not permitted|denied/i);
  await assert.rejects(
    runtime.runPodSandbox({ config: node.sandboxConfig({ linux: { sysctls: { "vm.swappiness": "1" } } }) }),
    /vm\.swappiness/,
  );
  await runtime.removePodSandbox({ podSandboxId });
});

test("images: listed, shown, absent without an error, and the pulled reference is the id", async () => {
  const { images } = node;
  const { imageRef } = await images.pullImage({ image: { image: node.image } });
  const image = (await images.imageStatus({ image: { image: node.image } })).image;
  assert.equal(imageRef, image?.id);
  assert.deepEqual(image?.repoTags, [node.image]);
  assert.equal((await images.imageStatus({ image: { image: "example.org/none:1" } })).image, undefined);
  assert.equal((await images.listImages({})).images.length, 1);
  await assert.rejects(images.pullImage({ image: { image: node.image.replace(/:test$/, ":absent") } }), /absent/);
  const { imageFilesystems } = await images.imageFsInfo({});
  assert.ok((imageFilesystems[0]?.usedBytes?.value ?? 0n) > 0n);
});

test("a pull that the policy or an absent registry refuses is told by the word that a kubelet knows, as UNKNOWN (2)", async () => {
  const refusal = async (image: string): Promise<string> => {
    const error: unknown = await node.images.pullImage({ image: { image } }).catch((thrown: unknown) => thrown);
    assert.ok(isTripodError(error));
    return `${String(error.detail.grpcStatus)} ${error.message}`;
  };
  assert.match(await refusal("127.0.0.1:1/nobody"), /^2 RegistryUnavailable: pull 127\.0\.0\.1:1/);
  const policy = join(node.layout.etcDir, "policy.json");
  mkdirSync(node.layout.etcDir, { recursive: true });
  writeFileSync(policy, '{"default":[{"type":"reject"}]}');
  assert.match(await refusal(node.image), /^2 SignatureValidationFailed: pull .*policy\.json, default/);
  rmSync(policy);
});

test("a Pod's bandwidth annotations hold its traffic both ways, and go with it", async () => {
  const { runtime } = node;
  const rates = (): number[] => {
    using host = openRtnetlink();
    const qdiscs = host.links().flatMap(({ index }) => host.qdiscs(index));
    return qdiscs.flatMap(({ tokenBucket }) => tokenBucket?.rate ?? []).toSorted((a, b) => a - b);
  };
  const annotations = { "kubernetes.io/ingress-bandwidth": "1M", "kubernetes.io/egress-bandwidth": "2M" };
  const { podSandboxId } = await runtime.runPodSandbox({ config: node.sandboxConfig({ annotations }) });
  assert.deepEqual(rates(), [125_000, 250_000]);
  await runtime.stopPodSandbox({ podSandboxId });
  assert.deepEqual(rates(), []);
  await runtime.removePodSandbox({ podSandboxId });

  const wrong = { "kubernetes.io/egress-bandwidth": "fast" };
  await assert.rejects(runtime.runPodSandbox({ config: node.sandboxConfig({ annotations: wrong }) }), {
    message: /"fast" is not a quantity/,
  });
});
