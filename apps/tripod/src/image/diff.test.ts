import assert from "node:assert/strict";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, silentLogger } from "@tripod/base";
import { Images } from "@tripod/oci";
import { tempRoot } from "@tripod/testing";

const tripod = join(import.meta.dirname, "../../../../tripod");

test("two images, or an image and what a container made of it, differ by names, attributes and contents", async () => {
  await using root = tempRoot();
  const diff = async (...args: string[]): Promise<string> => {
    const words = ["image", "diff", ...args, "--root", root.path];
    const { exitCode, stdout, stderr } = await runCommand(tripod, words, { okExitCodes: "any" });
    return exitCode === 0 ? stdout.toString() : stderr.toString();
  };
  const context = join(root.path, "context");
  for (const folder of ["etc", "old/deep", "same"]) mkdirSync(join(context, folder), { recursive: true });
  for (const file of ["etc/config", "old/deep/file", "same/file", "mode"])
    writeFileSync(join(context, file), "content");
  await using images = await Images.open({ layout: root.layout, log: silentLogger });
  await images.build({ context, tags: ["web:1"] });
  rmSync(join(context, "old"), { recursive: true });
  writeFileSync(join(context, "etc/config"), "Content"); // as long, and as old
  writeFileSync(join(context, "etc/new\u001b[31m"), "");
  chmodSync(join(context, "mode"), 0o755);
  await images.build({ context, tags: ["web:2"] });
  assert.equal(await diff("web:1", "web:2"), "C /etc/config\nA /etc/new\\u{1b}[31m\nC /mode\nD /old\n");
  assert.equal(await diff("web:1", "web:1"), "");
  const [config, , mode] = JSON.parse(await diff("web:1", "web:2", "--json"));
  assert.deepEqual(config, { path: "/etc/config", kind: "changed", what: "another content" });
  assert.match(mode.what, /^mode 0100755 instead of 0100644$/);

  const { rootfs } = await images.prepareRootfs("abc123", "web:1");
  assert.equal(await diff("--container", "abc"), "");
  writeFileSync(join(rootfs, "same/file"), "Content");
  rmSync(join(rootfs, "old"), { recursive: true });
  writeFileSync(join(rootfs, "made"), "");
  const found = "A /made\nD /old\nC /same/file\n";
  assert.equal(await diff("--container", "abc123", "--content-only"), found);
  assert.equal(await diff("--container", "abc123"), found);
  assert.match(await diff("--container", "abd"), /container abd: there is none; crictl ps -a/);
  assert.match(await diff("web:1"), /give two images, or --container/);
  await images.removeRootfs("abc123");
  assert.deepEqual(images.mounts(), [], "what was mounted to look at it is not any more");
});
