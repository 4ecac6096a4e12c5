import assert from "node:assert/strict";
import { readdirSync, truncateSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type CommandResult, runCommand } from "@tripod/base";
import { makeBusyboxRootfs, pushBusybox, startRegistry, tempRoot } from "@tripod/testing";
import { columns, humanBytes } from "./human.ts";

const main = new URL("../main.ts", import.meta.url).pathname;

const image = (root: string, ...args: string[]): Promise<CommandResult> =>
  runCommand(process.execPath, [main, "image", ...args, "--root", root], { okExitCodes: "any" });

test("an image goes from a folder through a registry into another instance and an archive", async () => {
  await using registry = await startRegistry();
  await using one = tempRoot();
  await using two = tempRoot();
  const context = join(one.path, "context");
  await mkdir(context);
  await makeBusyboxRootfs(context);
  const name = `${registry.host}/tools:1`;
  const ran = async (root: string, ...args: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await image(root, ...args);
    assert.equal(exitCode, 0, `${args.join(" ")}: ${stderr.toString()}`);
    return stdout.toString();
  };
  const built = JSON.parse(
    await ran(one.path, "build", context, "-t", name, "--cmd", '["/bin/sh"]', "-e", "A=b", "-p", "80", "--json"),
  );
  assert.deepEqual(built.config.config, { ExposedPorts: { "80/tcp": {} }, Env: ["A=b"], Cmd: ["/bin/sh"] });
  assert.match(await ran(one.path, "push", name), /@sha256:[0-9a-f]{64}\n$/);
  const pull = await image(two.path, "pull", name);
  assert.equal(pull.exitCode, 0);
  assert.match(pull.stderr.toString(), /: downloading \(.*MB\)\n[^]*: unpacking \(.*\n[^]*: done /);
  assert.match(
    await ran(two.path, "ls"),
    new RegExp(`^IMAGE .*\n${name} +${built.id.slice(7, 19)} +[\\d.]+ MB +linux/`),
  );
  await ran(two.path, "tag", name, "other:2");
  await ran(two.path, "export", "other:2", "-o", join(two.path, "o.tar"));
  await ran(two.path, "rm", name, "other:2");
  assert.equal(JSON.parse(await ran(two.path, "ls", "--json")).length, 0);
  assert.deepEqual(readdirSync(join(two.layout.contentDir, "blobs/sha256")), []);
  await ran(two.path, "import", join(two.path, "o.tar"));
  assert.equal(JSON.parse(await ran(two.path, "inspect", "other:2")).id, built.id);
});

test("verify tells what is damaged by its exit code, in words and as JSON, and has it fetched again", async () => {
  await using registry = await startRegistry();
  await using root = tempRoot();
  const name = await pushBusybox(registry);
  assert.equal((await image(root.path, "pull", name)).exitCode, 0);
  const whole = await image(root.path, "verify");
  assert.match(
    whole.stdout.toString(),
    /^1 images: 3 blobs \(.* MB\) by digest, 1 unpacked layers .*; all is whole\n$/,
  );
  assert.equal(whole.exitCode, 0);
  const { layers } = JSON.parse((await image(root.path, "inspect", name)).stdout.toString());
  truncateSync(join(root.layout.contentDir, "blobs/sha256", layers[0].digest.slice(7)), 1000);
  const damaged = await image(root.path, "verify", "--json");
  assert.equal(damaged.exitCode, 1);
  const [damage] = JSON.parse(damaged.stdout.toString()).damaged;
  assert.deepEqual([damage.kind, damage.digest, damage.images], ["blob", layers[0].digest, [name]]);
  const repaired = await image(root.path, "verify", "--repair", "--deep");
  assert.match(repaired.stdout.toString(), /\nblob sha256:.* its 1000 bytes have the digest .*; repaired\n$/);
  assert.equal(repaired.exitCode, 0, repaired.stderr.toString());
});

test("mistakes end with one clear line and exit code 1", async () => {
  await using root = tempRoot();
  for (const [args, says] of [
    [["pull", "Upper"], /^tripod: image reference "Upper": the repository must be in lower case\n$/],
    [
      ["inspect", "nothing"],
      /^tripod: image inspect: no image nothing; tripod image ls lists what there is, --remote asks the registry\n$/,
    ],
    [["rm"], /^tripod: image rm: give names or ids, or --all\n$/],
    [["import", "/nonexistent"], /^tripod: import \/nonexistent: no such file\n$/],
    [
      ["pull", "127.0.0.1:1/x"],
      /^tripod: pull 127\.0\.0\.1:1\/x:latest: .*nothing listens there; check the registry's address\n$/,
    ],
  ] as const) {
    const { exitCode, stderr } = await image(root.path, ...args);
    assert.equal(exitCode, 1);
    assert.match(stderr.toString(), says);
  }
});

test("sizes and columns are for people", () => {
  for (const [bytes, text] of [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.00 kB"],
    [999_999, "1.00 MB"],
    [12_345_678, "12.3 MB"],
  ] as const) {
    assert.equal(humanBytes(bytes), text);
  }
  assert.equal(
    columns([
      ["A", "B"],
      ["long", "x"],
    ]),
    "A     B\nlong  x",
  );
});
