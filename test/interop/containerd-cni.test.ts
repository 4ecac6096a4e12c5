import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { ImageService, Protocol, RuntimeService } from "@tripod/api/cri";
import { setTimeout } from "node:timers/promises";
import { defaultConflist, type JsonObject } from "@tripod/cni";
import { lacksLinkKind, Uplink } from "@tripod/cni/testing";
import { type Client, GrpcChannel } from "@tripod/grpc";
import { isolateNetwork, nft, openRtnetlink, removeCgroup } from "@tripod/linux";
import { installPlugins } from "@tripod/plugin-bundle";
import { interop, peer, pushBusybox, startContainerd, startRegistry, tempRoot } from "@tripod/testing";

const hostPort = 18_080;
/** Debian's containerd knows CNI up to this version. */
const cniVersion = "1.0.0";

const fetchPage = (host: string, port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    get({ host, port, agent: false, timeout: 5000 }, (response) => resolve(text(response))).once("error", reject);
  });

describe(interop({ interface: "CNI", caller: peer("containerd"), callee: "Tripod's plugins" }), () => {
  const stack = new AsyncDisposableStack();
  let runtime: Client<typeof RuntimeService>;
  let image: string;
  let dataDir: string;
  let cniConfDir: string;
  let cgroup: string;

  before(async () => {
    isolateNetwork();
    const { path: root, layout } = stack.use(tempRoot());
    cgroup = layout.cgroupParent;
    stack.defer(() => removeCgroup(cgroup));
    const registry = stack.use(await startRegistry());
    image = await pushBusybox(registry);
    const sandboxImage = await pushBusybox(registry, "pause:1", { spec: { cmd: ["/bin/sleep", "100000"] } });
    cniConfDir = join(root, "net.d");
    const cniBinDir = join(root, "bin");
    dataDir = join(root, "networks");
    mkdirSync(cniConfDir);
    await installPlugins(cniBinDir);
    const conflist = defaultConflist({ name: "own", bridge: "own0", subnet: "10.246.0.0/24", dataDir });
    writeFileSync(join(cniConfDir, "10-own.conflist"), JSON.stringify({ ...conflist, cniVersion }));
    const containerd = stack.use(
      await startContainerd({ dir: join(root, "containerd"), sandboxImage, cniBinDir, cniConfDir }),
    );
    const channel = stack.use(new GrpcChannel({ socket: containerd.socket }));
    runtime = channel.client(RuntimeService);
    await channel.client(ImageService).pullImage({ image: { image } });
  });
  after(() => stack.disposeAsync());

  test("its network is ready with a folder of our executables alone", async () => {
    const { status } = await runtime.status({});
    assert.deepEqual(
      status?.conditions.map(({ type, status: holds }) => [type, holds]),
      [
        ["RuntimeReady", true],
        ["NetworkReady", true],
      ],
    );
  });

  test("a Pod gets an address, a route and a host port from our chain, and all of it is taken away again", async () => {
    const config = {
      metadata: { name: "web", namespace: "interop", uid: "web-uid", attempt: 0 },
      hostname: "web",
      portMappings: [{ containerPort: 80, hostPort, protocol: Protocol.TCP }],
      linux: { cgroupParent: cgroup },
    };
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    const { status } = await runtime.podSandboxStatus({ podSandboxId });
    assert.equal(status?.network?.ip, "10.246.0.2");
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: {
        metadata: { name: "main", attempt: 0 },
        image: { image },
        command: ["sh", "-c", "ip route show default >/www/index.html && exec httpd -f -p 80 -h /www"],
      },
    });
    await runtime.startContainer({ containerId });
    // The server listens a moment after its start.
    const listening = "until wget -qO /dev/null http://127.0.0.1/; do :; done";
    await runtime.execSync({ containerId, cmd: ["sh", "-c", listening], timeout: 10n });
    assert.match(await fetchPage("10.246.0.2", 80), /^default via 10\.246\.0\.1 dev eth0/);
    assert.match(await fetchPage("127.0.0.1", hostPort), /^default via/);

    await runtime.stopPodSandbox({ podSandboxId });
    await runtime.removePodSandbox({ podSandboxId });
    assert.equal(nft("list ruleset"), "");
    assert.deepEqual(
      readdirSync(join(dataDir, "own")).filter((name) => name.startsWith("10.")),
      [],
    );
    using host = openRtnetlink();
    assert.deepEqual(
      host.links().map(({ name }) => name),
      ["lo", "own0"],
    );
  });

  test("an error of our plugin reaches containerd's caller with its reason", async () => {
    const config = (name: string) => ({
      metadata: { name, namespace: "interop", uid: name, attempt: 0 },
      portMappings: [{ containerPort: 80, hostPort: 70_000, protocol: Protocol.TCP }],
      linux: { cgroupParent: cgroup },
    });
    await assert.rejects(runtime.runPodSandbox({ config: config("wrong") }), { message: /portMappings?.*70000/ });
    assert.deepEqual((await runtime.listPodSandbox({})).items, []);
    assert.equal(nft("list ruleset"), "");
  });

  /** Has containerd take this network, which is the first by its file's name. */
  async function configure(plugin: JsonObject & { readonly type: string }): Promise<void> {
    const name = `by-${plugin.type}`;
    const ipam = { type: "host-local", dataDir, ranges: [[{ subnet: "10.88.0.0/24", rangeStart: "10.88.0.10" }]] };
    const list = { cniVersion, name, plugins: [{ ipam, ...plugin }] };
    writeFileSync(join(cniConfDir, "00-main.conflist"), JSON.stringify(list));
    // It watches the folder, and tells nobody when it has read it.
    const loaded = async (): Promise<boolean> =>
      JSON.stringify((await runtime.status({ verbose: true })).info).includes(name);
    for (const signal = AbortSignal.timeout(20_000); !(await loaded()); ) await setTimeout(20, undefined, { signal });
  }

  const plugins: readonly { readonly plugin: JsonObject & { readonly type: string }; readonly skip: string | false }[] =
    [
      { plugin: { type: "ptp", ipMasq: true }, skip: false },
      { plugin: { type: "host-device", device: "uplink" }, skip: false },
      { plugin: { type: "macvlan", master: "uplink" }, skip: lacksLinkKind("macvlan") },
      { plugin: { type: "ipvlan", master: "uplink" }, skip: lacksLinkKind("ipvlan") },
      { plugin: { type: "vlan", master: "uplink", vlanId: 7 }, skip: lacksLinkKind("vlan") },
      { plugin: { type: "dummy" }, skip: lacksLinkKind("dummy") },
      {
        plugin: { type: "tap", ipam: { type: "static", addresses: [{ address: "10.88.0.10/24" }] } },
        skip: lacksLinkKind("tap"),
      },
    ];
  for (const { plugin, skip } of plugins) {
    test(`a Pod is connected by ${plugin.type}, and leaves nothing`, { skip }, async () => {
      using _uplink = new Uplink();
      await configure(plugin);
      const config = {
        metadata: { name: plugin.type, namespace: "interop", uid: plugin.type, attempt: 0 },
        linux: { cgroupParent: cgroup },
      };
      const { podSandboxId } = await runtime.runPodSandbox({ config });
      const { status } = await runtime.podSandboxStatus({ podSandboxId });
      assert.equal(status?.network?.ip, "10.88.0.10");
      await runtime.stopPodSandbox({ podSandboxId });
      await runtime.removePodSandbox({ podSandboxId });
      assert.equal(nft("list ruleset"), "");
      const folder = join(dataDir, `by-${plugin.type}`);
      const reserved = existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith("10.")) : [];
      assert.deepEqual(reserved, []);
      using host = openRtnetlink();
      assert.deepEqual(
        host
          .links()
          .map(({ name }) => name)
          .toSorted(),
        ["lo", "own0", "uplink"],
      );
    });
  }
});
