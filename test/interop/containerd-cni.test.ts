import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { ImageService, Protocol, RuntimeService } from "@tripod/api/cri";
import { defaultConflist } from "@tripod/cni";
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
  let cgroup: string;

  before(async () => {
    isolateNetwork();
    const { path: root, layout } = stack.use(tempRoot());
    cgroup = layout.cgroupParent;
    stack.defer(() => removeCgroup(cgroup));
    const registry = stack.use(await startRegistry());
    image = await pushBusybox(registry);
    const sandboxImage = await pushBusybox(registry, "pause:1", { spec: { cmd: ["/bin/sleep", "100000"] } });
    const cniConfDir = join(root, "net.d");
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
});
