import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { watch } from "node:fs/promises";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, silentLogger } from "@tripod/base";
import { Images, type ImageSpec } from "@tripod/oci";
import { pushBusybox, startRegistry, tempRoot } from "@tripod/testing";

const tripod = join(import.meta.dirname, "../../../../tripod");

test("the same input gives the same image, whatever the umask, the order and the times of its files", async () => {
  await using root = tempRoot();
  await using images = await Images.open({ layout: root.layout, log: silentLogger });
  const folders = [
    { umask: 0o022, names: ["a", "run", "z"], seconds: 1 },
    { umask: 0o077, names: ["z", "run", "a"], seconds: 1_700_000_000 },
    { umask: 0o000, names: ["run", "z", "a"], seconds: 5 },
  ].map(({ umask, names, seconds }, index) => {
    const before = process.umask(umask);
    const dir = join(root.path, `context${index}`);
    mkdirSync(join(dir, "sub"), { recursive: true });
    for (const name of names) {
      writeFileSync(join(dir, "sub", name), name, { mode: name === "run" ? 0o777 : 0o666 });
      utimesSync(join(dir, "sub", name), seconds, seconds);
    }
    process.umask(before);
    return dir;
  });
  const digests = new Set<string>();
  for (const context of folders) digests.add((await images.build({ context, tags: ["same"] })).manifest.digest);
  assert.equal(digests.size, 1);
  const [first = "", second = ""] = folders;
  const later = await images.build({ context: first, tags: ["later"], createdAt: 1_700_000_000 });
  assert.equal(later.config.created, "2023-11-14T22:13:20Z");
  const keep: ImageSpec = { modes: "keep" };
  assert.notEqual(
    (await images.build({ context: first, tags: ["kept"], spec: keep })).id,
    (await images.build({ context: second, tags: ["kept"], spec: keep })).id,
  );
  const { rootfs } = await images.prepareRootfs("c", "same");
  assert.deepEqual(
    ["sub", "sub/run", "sub/a"].map((name) => (statSync(join(rootfs, name)).mode & 0o7777).toString(8)),
    ["755", "755", "644"],
  );
  await images.removeRootfs("c");
  // By flags, on what is here; nothing copied, so no layer is added.
  writeFileSync(join(first, "tripod-image.yaml"), "from: same\ncopy: []\n");
  const { stdout } = await runCommand(
    tripod,
    // biome-ignore format: a command line
    ["image", "build", first, "-t", "child", "--volume", "/data", "--stop-signal", "SIGINT", "--json", "--root", root.path],
    { env: { ...process.env, SOURCE_DATE_EPOCH: "60" } },
  );
  const child = JSON.parse(stdout.toString());
  assert.deepEqual(child.config.config, { Volumes: { "/data": {} }, StopSignal: "SIGINT" });
  assert.equal(child.layers.length, 1);
  assert.deepEqual(child.config.history.at(-1), {
    created: "1970-01-01T00:01:00Z",
    created_by: "tripod image build",
    empty_layer: true,
  });
  await assert.rejects(
    images.build({ context: first, tags: ["x"], platform: "linux/s390x" }),
    /same is here for linux\/amd64, not for linux\/s390x; use --pull$|same is here for linux\/arm64/,
  );
});

test("several images go through one archive on standard output and input, and through layouts, with skopeo in between", async () => {
  await using one = tempRoot();
  await using two = tempRoot();
  const context = join(one.path, "context");
  mkdirSync(context);
  await using images = await Images.open({ layout: one.layout, log: silentLogger });
  const ids: string[] = [];
  for (const tag of ["example.com/web:1", "example.com/db:1", "cache:3"]) {
    writeFileSync(join(context, "file"), tag);
    ids.push((await images.build({ context, tags: [tag] })).id);
  }
  const shell = async (script: string): Promise<string> =>
    (await runCommand("sh", ["-ec", script, "sh", tripod, one.path, two.path])).stdout.toString();
  const idsIn = (text: string): string[] => JSON.parse(text).map(({ id }: { readonly id: string }) => id);

  const imported = await shell(
    '"$1" image export example.com/web:1 example.com/db:1 cache:3 -o - --root "$2" | "$1" image import - --json --root "$3"',
  );
  assert.deepEqual(idsIn(imported), ids);
  await using second = await Images.open({ layout: two.layout, log: silentLogger });
  assert.deepEqual(
    second
      .list()
      .flatMap(({ repoTags }) => repoTags)
      .toSorted(),
    ["docker.io/library/cache:3", "example.com/db:1", "example.com/web:1"],
  );

  const layout = join(one.path, "layout");
  await shell('"$1" image export example.com/web:1 example.com/db:1 -o "$2/layout/" --root "$2"');
  await images.exportArchive("cache:3", layout); // there already: it is added to
  const inspect = async (name: string): Promise<string> =>
    (await runCommand("skopeo", ["inspect", "--raw", `oci:${layout}:${name}`])).stdout.toString();
  for (const [name, id] of [
    ["example.com/web:1", ids[0]],
    ["example.com/db:1", ids[1]],
    ["3", ids[2]],
  ] as const) {
    assert.equal(JSON.parse(await inspect(name)).config.digest, id);
  }
  for (const { repoTags } of second.list()) for (const tag of repoTags) await second.untag(tag);
  assert.deepEqual(idsIn(await shell('"$1" image import "$2/layout" --json --root "$3"')), ids);

  // Docker's own form, as skopeo writes it, by a pipe.
  const archive = join(one.path, "skopeo.tar");
  await runCommand("skopeo", ["copy", `oci:${layout}:example.com/db:1`, `docker-archive:${archive}:renamed:9`]);
  await shell('"$1" image import - --root "$3" <"$2/skopeo.tar"');
  assert.deepEqual(second.get("renamed:9")?.config.rootfs, images.get("example.com/db:1")?.config.rootfs);
});

test("Ctrl-C ends a pull in order, and the next one goes on where it was", async () => {
  await using registry = await startRegistry();
  await using root = tempRoot();
  await pushBusybox(registry, "busybox:1");
  const ranges: (string | undefined)[] = [];
  let stall = true;
  const proxy = createServer((incoming, outgoing) => {
    const [host, port] = registry.host.split(":");
    const { method, url, headers } = incoming;
    const onward = request({ host, port, method, path: url, headers }, (reply) => {
      outgoing.writeHead(reply.statusCode ?? 500, reply.headers);
      const isLayer = method === "GET" && Number(reply.headers["content-length"]) > 200_000;
      if (isLayer) ranges.push(headers.range);
      if (isLayer && stall) {
        let sent = 0;
        reply.on("data", (piece: Buffer) => {
          outgoing.write(piece);
          sent += piece.length;
          if (sent > 50_000) reply.pause();
        });
      } else reply.pipe(outgoing);
    });
    incoming.pipe(onward);
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  // A listening TCP server's address is an object.
  const name = `127.0.0.1:${(proxy.address() as AddressInfo).port}/busybox:1`;
  const ingests = join(root.layout.contentDir, "ingest");
  mkdirSync(ingests, { recursive: true });
  const partial = (): number =>
    readdirSync(ingests).reduce(
      (sum, file) => sum + (statSync(join(ingests, file), { throwIfNoEntry: false })?.size ?? 0),
      0,
    );
  try {
    const stop = new AbortController();
    const changes = watch(ingests, { signal: stop.signal });
    const child = spawn(tripod, ["image", "pull", name, "--root", root.path], { stdio: ["ignore", "ignore", "pipe"] });
    const said: Buffer[] = [];
    child.stderr.on("data", (piece: Buffer) => said.push(piece));
    const closed = once(child, "close");
    // Manifest and config together are smaller.
    for await (const _ of changes) if (partial() > 10_000) break;
    child.kill("SIGINT");
    const [code] = await closed;
    assert.equal(code, 130, Buffer.concat(said).toString());
    assert.match(Buffer.concat(said).toString(), /\ntripod: pull .*: cancelled\n$/);
    const kept = partial();
    assert.ok(kept > 10_000);
    stall = false;
    await runCommand(tripod, ["image", "pull", name, "--root", root.path]);
    assert.deepEqual(ranges, [undefined, `bytes=${kept}-`]);
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
});
