import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, silentLogger } from "@tripod/base";
import { isMountPoint, unmount } from "@tripod/linux";
import { Images, type PruneReport } from "@tripod/oci";
import { tempRoot } from "@tripod/testing";
import { historyOf } from "./history-command.ts";
import { parseUntil } from "./space-commands.ts";

const tripod = join(import.meta.dirname, "../../../../tripod");

test("images are mounted, measured and pruned by hand, and what is mounted or runs keeps its files", async () => {
  await using root = tempRoot();
  const run = async (...args: string[]): Promise<string> => {
    const words = ["image", ...args, "--root", root.path];
    const { exitCode, stdout, stderr } = await runCommand(tripod, words, { okExitCodes: "any" });
    return exitCode === 0 ? stdout.toString() : stderr.toString();
  };
  const json = async (...args: string[]): Promise<PruneReport> =>
    JSON.parse(await run(...args, "--json")) as PruneReport; // printed as one
  const context = join(root.path, "context");
  mkdirSync(context);
  await using images = await Images.open({ layout: root.layout, log: silentLogger });
  const build = (tag: string, from = "scratch", labels: Record<string, string> = {}) => {
    writeFileSync(join(context, "file"), tag.padEnd(5000));
    return images.build({ context, tags: [tag], spec: { from, labels } });
  };
  const base = await build("base");
  const top = await build("top", "base", { stage: "build" });
  await build("app");
  writeFileSync(join(context, "more"), "x");
  const app = await build("app"); // the name moves here: the image before has none now

  const mounted = (await run("mount", "top")).trim();
  assert.equal(readFileSync(join(mounted, "file"), "utf8").trim(), "top");
  const mine = join(root.path, "mine");
  assert.equal(await run("mount", "app", mine), `${mine}\n`);
  assert.equal((await images.mount("app", { target: mine })).target, mine, "asking again changes nothing");
  assert.throws(() => writeFileSync(join(mine, "file"), "x"), { code: "EROFS" });
  await assert.rejects(
    images.mount("top", { target: mine }),
    /image [0-9a-f]{12} is mounted there; tripod image unmount/,
  );
  await assert.rejects(images.mount("top", { target: context }), /the folder is not empty; name another one$/);
  assert.match(
    await run("mount"),
    new RegExp(`^FOLDER .*\n(.*\n)?${mine} +${app.id.slice(7, 19)} +docker.io/library/app:latest\n`),
  );

  await images.prepareRootfs("c1", base.id);
  const usage = images.usage();
  const of = (id: string) => usage.images.find((image) => image.id === id) ?? assert.fail();
  assert.deepEqual(of(base.id).containers, ["c1"]);
  assert.deepEqual(of(top.id).mounts, [mounted]);
  assert.equal(of(top.id).sharedUnpackedBytes, of(base.id).unpackedBytes);
  assert.ok(of(top.id).unpackedBytes > of(top.id).sharedUnpackedBytes);
  assert.match(await run("du"), /\ndocker\.io\/library\/base:latest .* 1 containers\n[^]*\npartial downloads +0 B\n/);

  assert.match(await run("history", "top"), /^CREATED .*\n1970-01-01T00:00:00Z +\d+ B +tripod image build\n1970/);
  const dry = await json("prune", "--dry-run");
  assert.equal(dry.images.length, 1, "only the image that has lost its name");
  assert.equal(images.list().length, 4);
  assert.deepEqual((await images.prune({ untilMs: Date.now() - 3_600_000 })).images, []);
  assert.deepEqual((await images.prune({ all: true, labels: ["stage=other"] })).images, []);
  assert.match(await run("prune", "--filter", "age=1"), /must be until=TIME/);
  const done = await json("prune");
  assert.deepEqual({ ...done, dryRun: true }, { ...dry }, "a dry run says what comes");
  assert.ok(done.freedBytes > 0);

  assert.deepEqual((await images.prune({ all: true })).images, [], "containers and mounts keep their images");
  await run("rm", "top", "app", "base");
  assert.equal(readFileSync(join(mounted, "file"), "utf8").trim(), "top");
  assert.equal(images.mounts().length, 2);
  const busy = await runCommand(
    "sh",
    ["-c", 'cd "$1" && exec "$2" image unmount "$1" --root "$3"', "sh", mine, tripod, root.path],
    {
      okExitCodes: "any",
    },
  );
  assert.match(busy.stderr.toString(), /something still uses it; end what does \(fuser -m .*--force\n$/);
  unmount(mounted); // as a reboot would
  assert.deepEqual(
    images.mounts().map(({ target }) => target),
    [mine],
  );
  assert.equal(await run("umount", mine), `${mine}\n`);
  assert.ok(existsSync(mine) && !isMountPoint(mine));
  assert.match(await run("unmount", mine), /nothing of .* is mounted/);
  await images.removeRootfs("c1");
  await images.prune();
  assert.deepEqual(readdirSync(join(root.layout.contentDir, "blobs/sha256")), []);
  assert.deepEqual(readdirSync(join(root.layout.runDir, "image-mounts")), []);
});

test("times of filters are read", () => {
  assert.equal(parseUntil("1h30m", 10_000_000), 10_000_000 - 5_400_000);
  assert.equal(parseUntil("2026-01-31", 0), Date.UTC(2026, 0, 31));
  for (const wrong of ["", "24", "h", "yesterday", "2026-13-01"])
    assert.throws(() => parseUntil(wrong, 0), /must be a time/);
});

test("a history names the layer of each step, and the layers that it does not speak of", () => {
  const layer = (digit: string) => ({ mediaType: "", digest: `sha256:${digit.repeat(64)}`, size: 1 }) as const;
  const config = {
    os: "linux",
    architecture: "amd64",
    rootfs: { type: "layers", diff_ids: [] },
    history: [{ created_by: "a" }, { created_by: "b", empty_layer: true }],
  } as const;
  assert.deepEqual(historyOf({ config, layers: [layer("1"), layer("2")] }), [
    { layer: layer("2").digest, sizeBytes: 1 },
    { createdBy: "b" },
    { createdBy: "a", layer: layer("1").digest, sizeBytes: 1 },
  ]);
});
