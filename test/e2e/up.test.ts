import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { TestNetwork } from "./network.ts";
import { TestNode } from "./node.ts";

const tripod = join(import.meta.dirname, "../../tripod");
let node: TestNode;
let network: TestNetwork;
const dir = mkdtempSync("/tmp/tripod-up-");

before(async () => {
  node = await TestNode.prepare();
  network = node.network;
});
after(async () => {
  await node[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

const refused = async (args: string[], path = process.env.PATH): Promise<string> => {
  const result = await network.run("env", [`PATH=${path}`, tripod, ...args], { okExitCodes: "any", timeoutMs: 30_000 });
  assert.equal(result.exitCode, 1);
  const lines = result.stderr.toString().trim().split("\n");
  assert.equal(lines.length, 1, `one line, not:\n${lines.join("\n")}`);
  return lines[0] ?? "";
};

test("tripod up is ready in under 2 s and prints the kubeconfig's path", async () => {
  // The machine is shared: a start counts by how long bare Node takes to start beside it, 40 ms where nothing else runs.
  const starts: { readonly seconds: number; readonly slowness: number }[] = [];
  for (let round = 0; round < 3; round += 1) {
    const before = performance.now();
    execFileSync(process.execPath, ["-e", "0"]);
    const slowness = Math.max(1, (performance.now() - before) / 40);
    const line = await node.up();
    assert.match(line, /ready in [\d.]+ s/);
    starts.push({ seconds: Number(/ready in ([\d.]+) s/.exec(line)?.[1]), slowness });
    await node.kill("SIGTERM");
  }
  const best = Math.min(...starts.map(({ seconds, slowness }) => seconds / slowness));
  assert.ok(
    best < 2,
    `took ${starts.map(({ seconds, slowness }) => `${seconds} s at ${slowness.toFixed(1)}`).join(", ")}`,
  );
  assert.ok(existsSync(node.layout.kubeconfig));
});

test("a second daemon on the same root, and a taken port, are one clear line and exit code 1", async () => {
  await node.up();
  assert.match(await refused(["up", "--root", node.root]), /another tripod \(process \d+\)/);
  const port = readFileSync(join(node.layout.libDir, "apiserver-port"), "utf8");
  assert.match(
    await refused(["up", "--root", join(dir, "second"), "--port", port]),
    new RegExp(`127\\.0\\.0\\.1:${port}.*taken`),
  );
  await node.kill("SIGTERM");
});

test("a missing runc is one clear line that says how to get it", async () => {
  const bin = join(dir, "bin");
  mkdirSync(bin);
  for (const name of ["sh", "readlink", "dirname", "uname", "conmon"]) symlinkSync(`/usr/bin/${name}`, join(bin, name));
  assert.match(await refused(["up", "--root", join(dir, "norunc")], bin), /runc.*(install|apt)/);
});

test("a user who is not root is told so", async () => {
  const child = network.spawn(
    "setpriv",
    ["--reuid=65534", "--regid=65534", "--clear-groups", tripod, "up", "--root", join(dir, "nobody")],
    { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, NODE_COMPILE_CACHE: "" } },
  );
  const errors: Buffer[] = [];
  child.stderr?.on("data", (chunk: Buffer) => errors.push(chunk));
  const [code] = await once(child, "close");
  assert.equal(code, 1);
  assert.match(Buffer.concat(errors).toString(), /^tripod: .*root/);
});

test("a wrong configuration names file, line and key", async () => {
  const root = join(dir, "badconfig");
  mkdirSync(join(root, "etc"), { recursive: true });
  writeFileSync(join(root, "etc/config.yaml"), "apiserver:\n  prot: 6443\n");
  assert.match(await refused(["up", "--root", root]), /config\.yaml.*apiserver\.prot/);
  writeFileSync(join(root, "etc/config.yaml"), "apiserver: {\n");
  assert.match(await refused(["up", "--root", root]), /config\.yaml:\d+/);
});

test("tripod down removes everything and leaves what the user wrote", async () => {
  await node.up();
  await node.kill("SIGTERM");
  await node.tripod("down");
  assert.ok(existsSync(join(node.layout.certsDir, "registry.tripod.dev/hosts.toml")));
  for (const gone of [node.layout.libDir, node.layout.runDir, node.layout.kubeletDir, node.layout.kubeconfig])
    assert.ok(!existsSync(gone), gone);
  const links = (await network.run("ip", ["-o", "link"])).stdout.toString();
  assert.ok(!links.includes(node.layout.bridge), links);
  assert.equal((await network.run("nft", ["list", "ruleset"])).stdout.toString().trim(), "");
});
