import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { CniRuntime, type JsonObject, PluginInvoker } from "@tripod/cni";
import { onFreshHost } from "@tripod/cni/testing";
import { silentLogger } from "@tripod/base";
import { nft, openRtnetlink } from "@tripod/linux";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";
import { installPlugins } from "./install-plugins.ts";
import { ownPlugins } from "./plugins.ts";
import { fetchFrom } from "./testing/fetch-from.ts";
import { PodNetwork, serveInNetns } from "./testing/pod-network.ts";

if (onFreshHost(import.meta.url)) {
  const folder = new TemporaryFolder("cni-install");
  const binDir = folder.join("bin");
  test.before(() => installPlugins(binDir));
  test.after(() => folder[Symbol.dispose]());

  /** Calls an executable as any runtime would. */
  const call = (
    name: string,
    env: Record<string, string>,
    input: JsonObject | string = "",
  ): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(`${binDir}/${name}`, {
      env: { PATH: "/nonexistent", CNI_PATH: binDir, ...env },
      input: typeof input === "string" ? input : JSON.stringify(input),
      encoding: "utf8",
    });

  test("every plugin is installed as an executable that tells its versions without standard input", () => {
    assert.deepEqual(readdirSync(binDir).toSorted(), [".tripod-cni", ...ownPlugins.keys()].toSorted());
    for (const name of ownPlugins.keys()) {
      const { status, stdout } = call(name, { CNI_COMMAND: "VERSION" });
      assert.equal(status, 0);
      assert.match(stdout, /"cniVersion": "1\.1\.0"/);
    }
    const { stderr, status } = call("bridge", {});
    assert.match(stderr, /CNI plugin bridge of Tripod/);
    assert.equal(status, 0);
  });

  test("the program carries neither the daemon's parts nor the packages that only those need", () => {
    const program =
      readdirSync(`${binDir}/.tripod-cni`).map((name) =>
        readFileSync(`${binDir}/.tripod-cni/${name}/tripod-cni.cjs`, "utf8"),
      )[0] ?? "";
    for (const foreign of ["node:sqlite", "opentelemetry", "pino", "momoa"])
      assert.ok(!program.includes(foreign), foreign);
    assert.ok(program.length < 200_000, `${program.length} bytes`);
  });

  test("what V8 compiled is kept by plugin and command of a call that succeeded, and replaced when V8 does not take it", () => {
    const [program = ""] = readdirSync(`${binDir}/.tripod-cni`);
    const compiled = `${binDir}/.tripod-cni/${program}/compiled`;
    for (const name of readdirSync(compiled)) rmSync(`${compiled}/${name}`);
    const config: JsonObject = {
      cniVersion: "1.1.0",
      name: "kept",
      ipam: { type: "host-local", ranges: [[{ subnet: "10.68.0.0/24" }]], dataDir: folder.join("kept") },
    };
    const status = (): number | null => call("host-local", { CNI_COMMAND: "STATUS" }, config).status;
    assert.equal(call("host-local", { CNI_COMMAND: "STATUS" }, "nonsense").status, 1);
    assert.equal(call("host-local", { CNI_COMMAND: "../STATUS" }, config).status, 1);
    assert.deepEqual(readdirSync(compiled), []);
    assert.equal(status(), 0);
    assert.deepEqual(readdirSync(compiled), ["host-local-STATUS"]);
    const kept = statSync(`${compiled}/host-local-STATUS`).mtimeMs;
    assert.equal(status(), 0);
    assert.equal(statSync(`${compiled}/host-local-STATUS`).mtimeMs, kept);
    for (const wrong of ["", "\0".repeat(4096)]) {
      writeFileSync(`${compiled}/host-local-STATUS`, wrong);
      assert.equal(status(), 0);
      assert.ok(statSync(`${compiled}/host-local-STATUS`).size > 50_000);
    }
    assert.deepEqual(readdirSync(compiled), ["host-local-STATUS"]);
  });

  test("the executables alone connect containers and take everything away again", async () => {
    using netns = new FreshNetns();
    const env = { CNI_CONTAINERID: "exec", CNI_NETNS: netns.path, CNI_IFNAME: "eth0" };
    const config: JsonObject = {
      cniVersion: "1.1.0",
      name: "execnet",
      bridge: "br-exec",
      isDefaultGateway: true,
      ipMasq: true,
      ipam: { type: "host-local", dataDir: folder.join("networks"), ranges: [[{ subnet: "10.66.0.0/24" }]] },
    };
    const added = call("bridge", { ...env, CNI_COMMAND: "ADD" }, config);
    assert.equal(added.status, 0, added.stdout);
    const result: unknown = JSON.parse(added.stdout);
    const prevResult = result as JsonObject; // the plugin printed JSON
    const mapped = {
      ...config,
      prevResult,
      runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] },
    };
    assert.deepEqual(JSON.parse(call("portmap", { ...env, CNI_COMMAND: "ADD" }, mapped).stdout), result);
    {
      await using _server = await serveInNetns(netns.path, "exec", 80);
      assert.equal(await fetchFrom(undefined, "127.0.0.1", 8080), "exec 10.66.0.1");
    }
    for (const name of ["bridge", "portmap"])
      assert.equal(call(name, { ...env, CNI_COMMAND: "CHECK" }, mapped).status, 0);
    for (const name of ["portmap", "bridge", "portmap", "bridge"]) {
      const { status, stdout } = call(name, { ...env, CNI_COMMAND: "DEL" }, config);
      assert.deepEqual([status, stdout], [0, ""]);
    }
    assert.equal(nft("list ruleset"), "");
    using host = openRtnetlink();
    assert.ok(host.linkDelete("br-exec"));
    assert.deepEqual(
      host.links().map(({ name }) => name),
      ["lo"],
    );
  });

  test("the executables that stand behind bridge do their work and take it back, as a chain", () => {
    using netns = new FreshNetns();
    const env = { CNI_CONTAINERID: "chain", CNI_NETNS: netns.path, CNI_IFNAME: "eth0" };
    const common = { cniVersion: "1.0.0", name: "chainnet" };
    const ipam = { type: "host-local", dataDir: folder.join("chain"), ranges: [[{ subnet: "10.67.0.0/24" }]] };
    const subnetFile = folder.join("subnet.env");
    writeFileSync(
      subnetFile,
      "FLANNEL_NETWORK=10.67.0.0/16\nFLANNEL_SUBNET=10.67.0.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
    );
    const chain: [string, JsonObject][] = [
      ["flannel", { subnetFile, dataDir: folder.join("flannel"), delegate: { bridge: "br-chain" }, ipam }],
      ["bandwidth", { ingressRate: 8_000_000, ingressBurst: 800_000, egressRate: 8_000_000, egressBurst: 800_000 }],
      ["firewall", { ingressPolicy: "isolated" }],
      ["tuning", { dataDir: folder.join("tuning"), mtu: 1400, sysctl: { "net.ipv4.conf.IFNAME.arp_filter": "1" } }],
      ["sbr", {}],
    ];
    const run = (command: string, [name, own]: [string, JsonObject], prevResult: JsonObject | undefined): string => {
      const stdin = { ...common, type: name, ...own, ...(prevResult === undefined ? {} : { prevResult }) };
      const { status, stdout, stderr } = call(name, { ...env, CNI_COMMAND: command }, stdin);
      assert.equal(status, 0, `${command} ${name}: ${stdout}${stderr}`);
      return stdout;
    };
    let result: JsonObject | undefined;
    for (const each of chain) result = JSON.parse(run("ADD", each, result)) as JsonObject; // the plugin printed JSON
    for (const each of chain) run("CHECK", each, result);
    for (const each of [...chain.toReversed(), ...chain.toReversed()]) run("DEL", each, result);
    assert.equal(nft("list ruleset"), "");
    using host = openRtnetlink();
    assert.ok(host.linkDelete("br-chain"));
    assert.deepEqual(
      host.links().map(({ name }) => name),
      ["lo"],
    );
  });

  test("errors are JSON on standard output, with exit code 1", () => {
    const rows = [
      ["ADD", "{}", /CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH/],
      ["NONSENSE", "{}", /unknown CNI_COMMAND/],
      ["STATUS", "nonsense", /not JSON/],
      ["STATUS", '{"cniVersion":"1.1.0"}', /network name/],
      ["STATUS", '{"cniVersion":"9.9.9","name":"a"}', /does not speak CNI 9\.9\.9/],
    ] as const;
    for (const [command, stdin, why] of rows) {
      const { status, stdout } = call(
        "bridge",
        { CNI_COMMAND: command, ...(command === "ADD" ? { CNI_PATH: "" } : {}) },
        stdin,
      );
      assert.equal(status, 1);
      assert.match(String((JSON.parse(stdout) as { msg: string }).msg), why); // errors have a msg
    }
  });

  test("a foreign executable is kept and used, unless it is to be replaced", async () => {
    const own = folder.join("own");
    const elsewhere = folder.join("elsewhere");
    for (const dir of [own, elsewhere]) mkdirSync(dir);
    for (const name of ["bridge", "foreign"]) writeFileSync(`${elsewhere}/${name}`, "#!/bin/sh\n", { mode: 0o755 });
    writeFileSync(`${own}/bridge`, '#!/bin/sh\necho \'{"cniVersion":"1.0.0","ips":[{"address":"192.0.2.1/32"}]}\'\n');
    chmodSync(`${own}/bridge`, 0o755);
    const first = await installPlugins(own);
    assert.deepEqual(first.kept, [`${own}/bridge`]);
    const invoker = new PluginInvoker({ binDirs: [own, elsewhere], plugins: ownPlugins });
    assert.deepEqual(invoker.locate("bridge"), { kind: "executable", file: `${own}/bridge` });
    assert.equal(invoker.locate("portmap").kind, "in-process");
    const { kept, installed } = await installPlugins(own, { force: true });
    assert.deepEqual([kept.length, installed.length], [0, ownPlugins.size]);
    assert.equal(invoker.locate("bridge").kind, "in-process");
    // Elsewhere than in the first folder, foreign ones only stand in for what Tripod has not.
    assert.deepEqual(invoker.locate("foreign"), { kind: "executable", file: `${elsewhere}/foreign` });
    assert.throws(() => invoker.locate("nonsense"), { message: /no such executable in .*install it there/ });
    assert.throws(() => invoker.locate("../own/bridge"), { cniCode: 7 });
  });

  test("a container that was connected in process is disconnected by the executables, by way of the same cache", async () => {
    await using network = await PodNetwork.start();
    using netns = new FreshNetns();
    await network.runtime.add({ containerId: "a", netns: netns.path });
    await using other = new CniRuntime({
      confDir: network.folder.join("net.d"),
      binDirs: [binDir],
      cacheDir: network.folder.join("cache"),
      log: silentLogger,
    });
    await other.load();
    await other.check({ containerId: "a" });
    await other.del({ containerId: "a", netns: netns.path });
    assert.equal(await network.runtime.cachedResult({ containerId: "a" }), undefined);
    assert.equal(nft("list ruleset"), "");
    assert.ok(existsSync(network.folder.join("cache", "results")));
  });
}
