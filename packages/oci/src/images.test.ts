import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, silentLogger } from "@tripod/base";
import { mountInfo } from "@tripod/linux";
import { makeBusyboxRootfs, pushBusybox, startRegistry, tempRoot, type TempRoot } from "@tripod/testing";
import { hexOf } from "./digest.ts";
import type { LayerProgress } from "./image.ts";
import { Images } from "./images.ts";

const open = (root: TempRoot): Promise<Images> => Images.open({ layout: root.layout, log: silentLogger });

test("an image built here is pushed, pulled by another instance, run and removed without a rest", async () => {
  await using registry = await startRegistry();
  await using root = tempRoot();
  const name = await pushBusybox(registry, "team/busybox:1");
  const images = await open(root);
  const seen: LayerProgress[] = [];
  const image = await images.pull(name, { onProgress: (progress) => seen.push(progress) });
  assert.deepEqual(image.repoTags, [name]);
  assert.equal(image.repoDigests.length, 1);
  assert.equal(seen.at(-1)?.state, "done");
  assert.deepEqual(images.get(image.id), image);
  assert.deepEqual(images.get(hexOf(image.id).slice(0, 12)), image);
  assert.deepEqual(images.get(image.repoDigests[0] ?? ""), image);
  assert.equal(images.get("nothing-like-this"), undefined);
  assert.deepEqual(images.list(), [image]);

  const { rootfs } = await images.prepareRootfs("c1", image.id);
  assert.deepEqual(await images.prepareRootfs("c1", image.id), { rootfs });
  assert.equal(mountInfo().filter((entry) => entry.mountPoint === rootfs).length, 1);
  assert.equal(lstatSync(join(rootfs, "tmp")).mode & 0o7777, 0o1777);
  const before = await images.rootfsUsage("c1");
  await runCommand("chroot", [
    rootfs,
    "/bin/sh",
    "-c",
    "dd if=/dev/zero of=/tmp/x bs=1024 count=100 2>/dev/null || head -c 102400 /bin/busybox > /tmp/x",
  ]);
  assert.ok((await images.rootfsUsage("c1")).bytes >= before.bytes + 100_000);

  await images.remove(name);
  assert.deepEqual(images.list(), []);
  assert.ok(existsSync(join(rootfs, "bin/busybox")), "a running container keeps its layers");
  await images.removeRootfs("c1");
  await images.removeRootfs("c1");
  await assert.rejects(images.rootfsUsage("c1"), { code: "not-found" });
  await images.collectGarbage();
  const { bytes, inodes, mountpoint } = await images.fsUsage();
  assert.deepEqual({ bytes, inodes }, { bytes: 0, inodes: 0 });
  assert.deepEqual(readdirSync(mountpoint).toSorted(), ["containers", "flat", "lazy", "tmp"]);
  await images[Symbol.asyncDispose](); // by then what was taken away is off the disk
  assert.deepEqual(readdirSync(join(mountpoint, "tmp")), []);
});

test("skopeo and umoci agree with what is built, and what they make is pulled", async () => {
  await using registry = await startRegistry();
  await using root = tempRoot();
  const name = await pushBusybox(registry, "busybox:1", {
    spec: { entrypoint: ["/bin/sh"], labels: { a: "b" }, ports: ["80/tcp"] },
  });
  const layout = join(root.path, "oci");
  await runCommand("skopeo", ["copy", "--src-tls-verify=false", `docker://${name}`, `oci:${layout}:one`]);
  await runCommand("umoci", ["unpack", "--image", `${layout}:one`, join(root.path, "bundle")]);
  const foreign = join(root.path, "bundle/rootfs");
  assert.ok(lstatSync(join(foreign, "bin/sh")).isSymbolicLink());
  const config = JSON.parse(
    (await runCommand("skopeo", ["inspect", "--config", "--tls-verify=false", `docker://${name}`])).stdout.toString(),
  );
  assert.deepEqual(config.config.Entrypoint, ["/bin/sh"]);
  assert.deepEqual(config.config.ExposedPorts, { "80/tcp": {} });

  // A second layer by umoci: a file removed, one replaced, a folder made opaque by being replaced.
  await runCommand("chroot", [
    foreign,
    "/bin/sh",
    "-c",
    "rm /etc/group; echo new > /etc/passwd; rm -r /var/log; mkdir /var/log; echo x > /var/log/x",
  ]);
  await runCommand("umoci", ["repack", "--image", `${layout}:two`, join(root.path, "bundle")]);
  for (const [format, tag] of [
    ["oci", "2"],
    ["v2s2", "3"],
  ] as const) {
    await runCommand("skopeo", [
      "copy",
      "--dest-tls-verify=false",
      `--format=${format}`,
      `oci:${layout}:two`,
      `docker://${registry.host}/busybox:${tag}`,
    ]);
    await using images = await open(root);
    const image = await images.pull(`${registry.host}/busybox:${tag}`);
    assert.equal(image.layers.length, 2);
    const { rootfs } = await images.prepareRootfs("c", image.id);
    assert.deepEqual(readdirSync(join(rootfs, "etc")).toSorted(), ["nsswitch.conf", "passwd"]);
    assert.equal(readFileSync(join(rootfs, "etc/passwd"), "utf8"), "new\n");
    assert.deepEqual(readdirSync(join(rootfs, "var/log")), ["x"]);
    await images.removeRootfs("c");
  }
});

test("zstd layers and manifest lists are pulled for the platform that is asked for", async () => {
  await using registry = await startRegistry();
  await using root = tempRoot();
  await using images = await open(root);
  const context = join(root.path, "context");
  mkdirSync(context);
  const digests: Record<string, string> = {};
  for (const architecture of ["amd64", "arm64"]) {
    writeFileSync(join(context, "arch"), architecture);
    const built = await images.build({
      context,
      tags: [`${registry.host}/multi:${architecture}`],
      platform: `linux/${architecture}`,
    });
    await images.push(`${registry.host}/multi:${architecture}`);
    digests[architecture] = built.id;
  }
  // skopeo recompresses to zstd on the way through a folder.
  await runCommand("skopeo", [
    "copy",
    "--src-tls-verify=false",
    "--dest-tls-verify=false",
    "--dest-compress",
    "--dest-compress-format=zstd",
    "--format=oci",
    `docker://${registry.host}/multi:amd64`,
    `dir:${join(root.path, "dir")}`,
  ]);
  await runCommand("skopeo", [
    "copy",
    "--dest-tls-verify=false",
    `dir:${join(root.path, "dir")}`,
    `docker://${registry.host}/multi:zstd`,
  ]);
  const manifests = [];
  for (const architecture of ["amd64", "arm64"]) {
    const { manifest } = images.get(`${registry.host}/multi:${architecture}`) ?? assert.fail();
    manifests.push({ ...manifest, platform: { os: "linux", architecture } });
  }
  const put = await fetch(`http://${registry.host}/v2/multi/manifests/list`, {
    method: "PUT",
    headers: { "content-type": "application/vnd.oci.image.index.v1+json" },
    body: JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests }),
  });
  assert.equal(put.status, 201);
  for (const architecture of ["amd64", "arm64"]) {
    const image = await images.pull(`${registry.host}/multi:list`, { platform: `linux/${architecture}` });
    assert.equal(image.id, digests[architecture]);
  }
  await assert.rejects(
    images.pull(`${registry.host}/multi:list`, { platform: "linux/s390x" }),
    /no image for linux\/s390x, only for linux\/amd64, linux\/arm64/,
  );
  const zstd = await images.pull(`${registry.host}/multi:zstd`);
  assert.equal(zstd.id, digests.amd64);
  const { rootfs } = await images.prepareRootfs("z", zstd.id);
  assert.equal(readFileSync(join(rootfs, "arch"), "utf8"), "amd64");
  await images.removeRootfs("z");
});

test("two pulls of one image at once fetch and unpack each layer once", async () => {
  await using registry = await startRegistry();
  await using root = tempRoot();
  const name = await pushBusybox(registry);
  await using images = await open(root);
  await using other = await open(root);
  const seen: LayerProgress[] = [];
  const onProgress = (progress: LayerProgress): number => seen.push(progress);
  const [a, b, c] = await Promise.all([
    images.pull(name, { onProgress }),
    images.pull(name, { onProgress }),
    other.pull(name, { onProgress }),
  ]);
  assert.deepEqual(a, b);
  assert.deepEqual(a, c);
  assert.equal(seen.filter(({ state }) => state === "unpacking").length, 1);
  assert.deepEqual(readdirSync(join(root.layout.contentDir, "ingest")), []);
});

test("a truncated blob is found on start and fetched again; lost layers are unpacked again from blobs", async () => {
  await using registry = await startRegistry();
  await using root = tempRoot();
  const name = await pushBusybox(registry);
  const first = await open(root);
  const image = await first.pull(name);
  await first[Symbol.asyncDispose]();
  const blob = join(root.layout.contentDir, "blobs/sha256", hexOf(image.layers[0]?.digest ?? assert.fail()));
  truncateSync(blob, 1000);
  await using images = await open(root);
  assert.ok(images.get(name), "its layers are unpacked, so it can run");
  assert.ok(!existsSync(blob));
  await assert.rejects(images.push(name), { code: "failed-precondition" });
  await images.pull(name);
  assert.equal(lstatSync(blob).size, image.layers[0]?.size);
  await runCommand("rm", ["-r", join(root.layout.snapshotsDir, hexOf(image.chainId))]);
  const { rootfs } = await images.prepareRootfs("c", name);
  assert.ok(existsSync(join(rootfs, "bin/busybox")));
  await images.removeRootfs("c");
});

test("a root file system whose record is lost, and a lost image record, are cleared away on start", async () => {
  await using root = tempRoot();
  const context = join(root.path, "context");
  mkdirSync(context);
  writeFileSync(join(context, "file"), "x");
  const first = await open(root);
  const image = await first.build({ context, tags: ["a"] });
  const { rootfs } = await first.prepareRootfs("c", image.id);
  await first[Symbol.asyncDispose]();
  for (const suffix of ["", "-wal", "-shm"])
    rmSync(join(root.layout.contentDir, `images.db${suffix}`), { force: true });
  await using images = await open(root);
  assert.deepEqual(images.list(), []);
  assert.deepEqual(
    mountInfo().filter((entry) => entry.mountPoint === rootfs),
    [],
  );
  assert.deepEqual(readdirSync(join(root.layout.snapshotsDir, "containers")), []);
  const report = await images.collectGarbage();
  assert.deepEqual([report.blobs, report.layers], [3, 1]);
});

test("build is reproducible and takes its words from tripod-image.yaml", async () => {
  await using root = tempRoot();
  await using images = await open(root);
  const context = join(root.path, "context");
  mkdirSync(join(context, "app/sub"), { recursive: true });
  writeFileSync(join(context, "app/run"), "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(join(context, "app/sub/skip.log"), "x");
  writeFileSync(
    join(context, "tripod-image.yaml"),
    'copy: [{ from: app, to: /opt/app, owner: "7:8", mode: "0555" }]\nignore: ["**/*.log"]\nenv: { A: 1 }\nentrypoint: [/opt/app/run]\nworkdir: /opt/app\nuser: 1000\nports: [80, 53/udp]\n',
  );
  const one = await images.build({ context, tags: ["a"] });
  await runCommand("touch", [join(context, "app/run")]);
  const two = await images.build({ context, tags: ["b:2"] });
  assert.equal(one.id, two.id);
  assert.deepEqual(two.repoTags, ["docker.io/library/a:latest", "docker.io/library/b:2"]);
  assert.deepEqual(one.config.config, {
    User: "1000",
    ExposedPorts: { "80/tcp": {}, "53/udp": {} },
    Env: ["A=1"],
    Entrypoint: ["/opt/app/run"],
    WorkingDir: "/opt/app",
  });
  writeFileSync(join(context, "tripod-image.yaml"), "from: a\ncopy: [app/run:/bin/]\ncmd: [x]\n");
  const child = await images.build({ context, tags: ["c"] });
  assert.equal(child.layers.length, 2);
  assert.deepEqual(child.config.config?.Cmd, ["x"]);
  const { rootfs } = await images.prepareRootfs("c", child.id);
  const stat = lstatSync(join(rootfs, "opt/app/run"));
  assert.deepEqual([stat.uid, stat.gid, stat.mode & 0o7777, stat.mtimeMs], [7, 8, 0o555, 0]);
  assert.deepEqual(readdirSync(join(rootfs, "opt/app/sub")), []);
  assert.ok(existsSync(join(rootfs, "bin/run")));
  await images.removeRootfs("c");
  for (const [text, why] of [
    ["nonsense: 1", /nonsense: no such field/],
    ["copy: [../etc]", /outside of the build's folder/],
    ["copy: {", /tripod-image\.yaml:\d/],
    ["ports: [0]", /is not a port/],
  ] as const) {
    writeFileSync(join(context, "tripod-image.yaml"), text);
    await assert.rejects(images.build({ context, tags: ["x"] }), why);
  }
});

test("export and import go round through skopeo's docker-archive and oci-archive", async () => {
  await using root = tempRoot();
  await using images = await open(root);
  const context = join(root.path, "rootfs");
  mkdirSync(context);
  await makeBusyboxRootfs(context);
  const image = await images.build({ context, tags: ["example.com/team/bb:1", "bb:2"] });
  const archive = join(root.path, "bb.tar");
  await images.exportArchive("bb:2", archive);
  for (const [kind, reference] of [
    ["docker-archive", "docker.io/library/bb:2"],
    ["oci-archive", "2"],
  ] as const) {
    const out = join(root.path, `${kind}.tar`);
    await runCommand("skopeo", [
      "copy",
      `${kind}:${archive}:${reference}`,
      `${kind}:${out}:${kind === "oci-archive" ? "third:3" : "third:3"}`,
    ]);
    await using second = tempRoot();
    await using store = await open(second);
    const [back] = await store.importArchive(out);
    assert.deepEqual(back?.repoTags, ["docker.io/library/third:3"]);
    assert.deepEqual(back?.config.rootfs, image.config.rootfs);
    const { rootfs } = await store.prepareRootfs("c", back?.id ?? "");
    assert.ok(existsSync(join(rootfs, "bin/busybox")));
    await store.removeRootfs("c");
  }
  await using third = tempRoot();
  await using store = await open(third);
  const [back] = await store.importArchive(archive, { name: "renamed:9" });
  assert.equal(back?.id, image.id);
  assert.deepEqual(back?.repoTags, ["docker.io/library/renamed:9"]);
  const again = join(third.path, "again.tar");
  await store.importArchive(archive);
  await store.exportArchive("bb:2", again);
  assert.deepEqual(readFileSync(again), readFileSync(archive));
});
