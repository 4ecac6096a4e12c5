import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { runCommand } from "@tripod/base";
import { onFreshHost } from "@tripod/cni/testing";
import { isMountPoint, nft, openRtnetlink, removeCgroup, unmount } from "@tripod/linux";
import { installPlugins } from "@tripod/plugin-bundle";
import { interop, makeBusyboxRootfs, peer, tempRoot } from "@tripod/testing";

const serve = "echo hello >/index.html; exec httpd -f -p 80 -h /";
/** The server listens a moment after its start. */
const listening = "until wget -qO /dev/null http://127.0.0.1/; do :; done";

if (onFreshHost(import.meta.url)) {
  test(`${interop({ interface: "CNI", caller: peer("podman"), callee: "Tripod's plugins" })} | two containers, a published port, and nothing left`, async () => {
    await using stack = new AsyncDisposableStack();
    const { path: root, layout } = stack.use(tempRoot());
    const inRoot = (name: string): string => `${root}/${name}`;
    for (const name of ["net.d", "pool", "tmp"]) mkdirSync(inRoot(name));
    await installPlugins(inRoot("bin"));
    await makeBusyboxRootfs(inRoot("rootfs"));
    const ipam = { type: "host-local", dataDir: inRoot("pool"), ranges: [[{ subnet: "10.77.0.0/24" }]] };
    const plugins = [
      { type: "bridge", bridge: "own0", isDefaultGateway: true, ipMasq: true, hairpinMode: true, ipam },
      { type: "portmap", capabilities: { portMappings: true } },
      { type: "firewall" },
      { type: "tuning" },
    ];
    writeFileSync(inRoot("net.d/own.conflist"), JSON.stringify({ cniVersion: "1.0.0", name: "own", plugins }));
    const settings = [
      "[containers]",
      'log_driver = "k8s-file"',
      "[network]",
      'network_backend = "cni"',
      `cni_plugin_dirs = ["${inRoot("bin")}"]`,
      `network_config_dir = "${inRoot("net.d")}"`,
      'default_network = "own"',
      "[engine]",
      'cgroup_manager = "cgroupfs"',
      'events_logger = "file"',
      'lock_type = "file"',
      'runtime = "runc"',
    ];
    writeFileSync(inRoot("containers.conf"), `${settings.join("\n")}\n`);
    const places = ["--root", inRoot("root"), "--runroot", inRoot("runroot"), "--tmpdir", inRoot("tmp")];
    const podman = async (...words: string[]): Promise<string> => {
      const env = { ...process.env, CONTAINERS_CONF: inRoot("containers.conf") };
      const { stdout } = await runCommand("podman", [...places, "--storage-driver", "vfs", ...words], { env });
      return stdout.toString();
    };
    const run = (...words: string[]): Promise<string> => {
      const at = words.indexOf("--");
      const common = [
        // What it asks for by default may be more than this machine has, and than it may raise.
        "--ulimit",
        "nofile=1024:1024",
        "--ulimit",
        "nproc=4096:4096",
        "--cgroup-parent",
        layout.cgroupParent,
        ...words.slice(0, at),
        "--rootfs",
        inRoot("rootfs"),
      ];
      return podman("run", ...common, ...words.slice(at + 1));
    };
    // It makes a mount of the folder that it pins namespaces in, which others may have done before.
    const pins = "/run/netns";
    if (!existsSync(pins) || !isMountPoint(pins)) stack.defer(() => void unmount(pins));
    stack.defer(() => removeCgroup(layout.cgroupParent));
    stack.defer(async () => {
      await podman("rm", "--all", "--force", "--time", "0");
    });

    assert.match(await podman("network", "ls"), /\bown\b/);
    await run("--detach", "--name", "web", "--publish", "8080:80", "--", "/bin/sh", "-c", serve);
    await podman("exec", "web", "/bin/sh", "-c", listening);
    const address = await podman("inspect", "web", "--format", "{{.NetworkSettings.Networks.own.IPAddress}}");
    assert.equal(address.trim(), "10.77.0.2");
    const asked = "ping -c 1 10.77.0.2 >/dev/null && wget -qO- http://10.77.0.2/ && wget -qO- http://10.77.0.1:8080/";
    assert.equal(await run("--rm", "--", "/bin/sh", "-c", asked), "hello\nhello\n");
    const page = await fetch("http://127.0.0.1:8080/", { signal: AbortSignal.timeout(5000) });
    assert.equal(await page.text(), "hello\n");

    await podman("rm", "--force", "--time", "0", "web");
    assert.equal(nft("list ruleset"), "");
    assert.deepEqual(
      readdirSync(inRoot("pool/own")).filter((name) => name.startsWith("10.")),
      [],
    );
    using host = openRtnetlink();
    assert.deepEqual(
      host.links().map(({ name }) => name),
      ["lo", "own0"],
    );
  });
}
