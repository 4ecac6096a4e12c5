import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { runCommand } from "@tripod/base";
import { buildPackage } from "../../tools/build-package.ts";
import { makeNetwork } from "./network.ts";

const folder = mkdtempSync("/tmp/tripod-package-");
after(() => rmSync(folder, { recursive: true, force: true }));
const tripod = join(folder, "node_modules/.bin/tripod");

test("the package is built, packed, and installed into an empty folder", async () => {
  await buildPackage(join(folder, "built"));
  await runCommand("npm", ["pack", "--pack-destination", folder, join(folder, "built")], { cwd: folder });
  const archive = readdirSync(folder).find((name) => name.endsWith(".tgz"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true }));
  const quiet = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"];
  await runCommand("npm", ["install", ...quiet, join(folder, archive ?? "")], { cwd: folder, timeoutMs: 300_000 });
  assert.deepEqual(
    readdirSync(join(folder, "node_modules")).filter((name) => !/^(\.|@koromix|koffi|node-linux-)/.test(name)),
    ["tripod"],
  );
  const { stdout } = await runCommand(tripod, ["version", "--json"]);
  assert.equal((JSON.parse(stdout.toString()) as { tripod: string }).tripod, "0.1.0");
});

test("the installed package brings its CNI plugins", async () => {
  const binDir = join(folder, "cni");
  await runCommand(tripod, ["cni", "install", "--bin-dir", binDir]);
  const env = { ...process.env, CNI_COMMAND: "VERSION" };
  const { stdout } = await runCommand(join(binDir, "bridge"), [], { env });
  assert.match(stdout.toString(), /"1\.1\.0"/);
});

test("the installed package runs the demo: a node, a Pod, a volume", async () => {
  using network = makeNetwork();
  const { stdout } = await network.run(tripod, ["demo"], { cwd: folder, timeoutMs: 180_000 });
  assert.match(stdout.toString(), /Done: a Pod with an address of its own/);
  assert(!existsSync(join(folder, "node_modules/tripod/node_modules")));
});
