import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, silentLogger } from "@tripod/base";
import { Images } from "@tripod/oci";
import { startRegistry, tempRoot } from "@tripod/testing";

const tripod = join(import.meta.dirname, "../../../../tripod");
const sha256 = (bytes: Buffer | string): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

test("an image of two platforms is pushed as one, inspected afar and copied everywhere with its digests", async () => {
  await using registry = await startRegistry();
  await using other = await startRegistry();
  await using root = tempRoot();
  const run = async (args: readonly string[], okExitCodes: readonly number[] = [0]) =>
    runCommand(tripod, ["image", ...args, "--root", root.path], { okExitCodes });
  const line = async (...args: string[]): Promise<string> => (await run(args)).stdout.toString().trim();
  const skopeo = async (...args: string[]): Promise<Buffer> => (await runCommand("skopeo", args)).stdout;
  {
    await using images = await Images.open({ layout: root.layout, log: silentLogger });
    const context = join(root.path, "context");
    mkdirSync(context);
    for (const architecture of ["amd64", "arm64"]) {
      writeFileSync(join(context, "arch"), architecture);
      await images.build({ context, tags: [`web:${architecture}`], platform: `linux/${architecture}` });
    }
  }
  const name = `${registry.host}/team/web:1`;
  const pushed = await line("push", "web:amd64", name, "--with", "web:arm64");
  const digest = pushed.slice(pushed.indexOf("@") + 1);
  const raw = await skopeo("inspect", "--raw", "--tls-verify=false", `docker://${name}`);
  assert.equal(sha256(raw), digest);
  assert.equal(JSON.parse(await line("rm", "web:amd64", "web:arm64", "--json")).length, 2);
  const blobs = join(root.layout.contentDir, "blobs/sha256");
  assert.deepEqual(readdirSync(blobs), []);

  // Afar: nothing is pulled.
  const seen = JSON.parse(await line("inspect", "--remote", name, "--platform", "linux/arm64"));
  assert.deepEqual(seen.platforms, ["linux/amd64", "linux/arm64"]);
  assert.equal(seen.config.architecture, "arm64");
  assert.equal(sha256((await run(["inspect", "--remote", "--raw", name])).stdout), digest);
  assert.ok(!readdirSync(blobs).includes(seen.layers[0].digest.slice(7)));
  assert.match((await run(["inspect", name], [1])).stderr.toString(), /no image .*--remote asks the registry\n$/);

  // To another registry, the tag comes along; to a second repository of it without a byte being fetched.
  const mirror = await run(["copy", "--all", name, `${other.host}/mirror/web`, "--json"]);
  const copied = JSON.parse(mirror.stdout.toString());
  assert.deepEqual([copied.target, copied.documents, copied.blobs], [`${other.host}/mirror/web@${digest}`, 3, 4]);
  const states = mirror.stderr
    .toString()
    .trim()
    .split("\n")
    .map((text) => JSON.parse(text).state);
  assert.ok(states.includes("downloading") && states.includes("uploading"), "progress comes as JSON lines");
  assert.equal(
    sha256(await skopeo("inspect", "--raw", "--tls-verify=false", `docker://${other.host}/mirror/web:1`)),
    digest,
  );
  const mounted = await run(["copy", "--all", `${other.host}/mirror/web:1`, `${other.host}/second/web:2`, "--json"]);
  assert.doesNotMatch(mounted.stderr.toString(), /downloading|uploading/);
  assert.match(mounted.stderr.toString(), /"exists"/);
  assert.deepEqual(readdirSync(blobs), [], "what went through the store is gone");

  // To a layout and an archive, which skopeo reads; from them, and from what skopeo wrote, back.
  const layout = join(root.path, "layout");
  await line("copy", "--all", name, `oci:${layout}:one`);
  assert.equal(sha256(await skopeo("inspect", "--raw", `oci:${layout}:one`)), digest);
  await line("copy", name, `oci:${layout}:mine`, "--platform", "linux/arm64");
  const mine = JSON.parse((await skopeo("inspect", "--config", `oci:${layout}:mine`)).toString());
  assert.equal(mine.architecture, "arm64");
  const archive = join(root.path, "web.tar");
  await runCommand("sh", [
    "-c",
    `"$1" image copy --all oci:"$2":one oci-archive:- --root "$3" >"$4"`,
    "sh",
    tripod,
    layout,
    root.path,
    archive,
  ]);
  const through = join(root.path, "through");
  await skopeo("copy", "--all", "--dest-oci-accept-uncompressed-layers", `oci-archive:${archive}`, `oci:${through}:x`);
  assert.match(await line("copy", "--all", `oci:${through}`, `${other.host}/back:3`), new RegExp(`@${digest}$`));
  await line("copy", "--all", `oci-archive:${archive}`, `${other.host}/back:4`);
  assert.equal(sha256(await skopeo("inspect", "--raw", "--tls-verify=false", `docker://${other.host}/back:4`)), digest);
  const lost = await run(["copy", `oci:${layout}:none`, "oci-archive:-"], [1]);
  assert.match(lost.stderr.toString(), /it has no image with the tag none; its tags are one, mine\n$/);

  // All tags of a name.
  await line("pull", name);
  for (const tag of ["2", "3"]) await line("tag", name, `${other.host}/tags:${tag}`);
  assert.equal((await line("push", "--all-tags", `${other.host}/tags`)).split("\n").length, 2);
  const tags = JSON.parse((await skopeo("list-tags", "--tls-verify=false", `docker://${other.host}/tags`)).toString());
  assert.deepEqual(tags.Tags.toSorted(), ["2", "3"]);
  assert.equal(sha256((await run(["inspect", "--raw", name])).stdout), digest, "raw is what the name means");
  assert.equal(readFileSync(join(layout, "oci-layout"), "utf8"), '{"imageLayoutVersion":"1.0.0"}');
});
