import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { MountPropagation, NamespaceMode } from "@tripod/api/cri";
import { isTripodError, runCommand, silentLogger } from "@tripod/base";
import { bindMount, isMountPoint, makePrivate, makeShared, mountInfo, mountTmpfs, unmount } from "@tripod/linux";
import { Images } from "@tripod/oci";
import { startTestNode, type TestNode } from "./testing/test-node.ts";

let node: TestNode;
let folder: string;
let sandboxId: string;
let mapped: string;
before(async () => {
  node = await startTestNode();
  folder = join(node.layout.root ?? "", "host");
  mkdirSync(folder);
  sandboxId = (await node.runtime.runPodSandbox({ config: node.sandboxConfig() })).podSandboxId;
  const ids = [{ containerId: 0, hostId: 600_000, length: 65_536 }];
  const namespaceOptions = {
    pid: NamespaceMode.CONTAINER,
    usernsOptions: { mode: NamespaceMode.POD, uids: ids, gids: ids },
  };
  const config = node.sandboxConfig({ linux: { securityContext: { namespaceOptions } } });
  mapped = (await node.runtime.runPodSandbox({ config })).podSandboxId;
});
after(async () => {
  await node[Symbol.asyncDispose]();
});

const run = async (containerId: string, script: string): Promise<string> => {
  const reply = await node.runtime.execSync({ containerId, cmd: ["sh", "-c", `exec 2>&1; ${script}`] });
  return Buffer.from(reply.stdout).toString();
};

const volume = (change: object = {}) => ({
  containerPath: "/volume",
  readonly: true,
  image: { image: node.image },
  ...change,
});

for (const pod of ["plain", "mapped"] as const) {
  const sandbox = (): string => (pod === "plain" ? sandboxId : mapped);

  test(`an image is a read-only volume, whole or by a folder (${pod} Pod)`, async () => {
    const containerId = await node.run(sandbox(), "sleep 1000", {
      mounts: [
        volume(),
        volume({ containerPath: "/part", imageSubPath: "etc/" }),
        volume({ containerPath: "/quiet", mountOptions: ["noexec"] }),
      ],
    });
    assert.equal(
      await run(containerId, "stat -c '%u %F' /volume /volume/bin/busybox; ls /part; touch /volume/x /part/x"),
      `0 directory\n0 regular file\n${await run(containerId, "ls /etc | grep -v -e resolv.conf -e hosts -e hostname")}touch: /volume/x: Read-only file system\ntouch: /part/x: Read-only file system\n`,
    );
    assert.equal(
      await run(containerId, "/volume/bin/busybox echo runs; /quiet/bin/busybox echo no || echo refused"),
      "runs\nsh: /quiet/bin/busybox: Permission denied\nrefused\n",
    );
    for (const path of ["/volume", "/part"])
      assert.match(await run(containerId, `grep ' ${path} ' /proc/mounts`), / ro,nosuid,nodev/);
    const { status } = await node.runtime.containerStatus({ containerId });
    const { image } = await node.images.imageStatus({ image: { image: node.image } });
    assert.deepEqual(
      status?.mounts.map((mount) => [mount.image?.image, mount.image?.imageRef, mount.imageSubPath]).slice(0, 2),
      [
        [node.image, image?.id, ""],
        [node.image, image?.id, "etc/"],
      ],
    );
    assert.deepEqual(
      mountInfo().filter(({ mountPoint }) => mountPoint.includes("/run/mounts/")),
      [],
    );
    await node.runtime.removeContainer({ containerId });
  });
}

/** Builds an image of a folder straight into the node's store; its id. */
async function buildImage(name: string, fill: (rootfs: string) => void): Promise<string> {
  const rootfs = join(folder, name);
  mkdirSync(rootfs);
  fill(rootfs);
  const tar = `${rootfs}.tar`;
  await runCommand("tar", ["--numeric-owner", "-C", rootfs, "-cf", tar, "."]);
  await using images = await Images.open({ layout: node.layout, log: silentLogger });
  return (await images.build({ rootfsTar: tar, tags: [`${name}:1`] })).id;
}

/** Puts an artifact of these files into the node's store; its id. */
async function importArtifact(name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const layout = join(folder, name);
  mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
  const blob = (mediaType: string, text: string) => {
    const hex = createHash("sha256").update(text).digest("hex");
    writeFileSync(join(layout, "blobs/sha256", hex), text);
    return { mediaType, digest: `sha256:${hex}`, size: Buffer.byteLength(text) };
  };
  const titled = (title: string) => ({ annotations: { "org.opencontainers.image.title": title } });
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = {
    schemaVersion: 2,
    mediaType,
    artifactType: "application/vnd.example.model",
    config: blob("application/vnd.oci.empty.v1+json", "{}"),
    layers: Object.entries(files).map(([path, text]) => ({ ...blob("text/plain", text), ...titled(path) })),
  };
  const tagged = { annotations: { "org.opencontainers.image.ref.name": `${name}:1` } };
  const index = { schemaVersion: 2, manifests: [{ ...blob(mediaType, JSON.stringify(manifest)), ...tagged }] };
  writeFileSync(join(layout, "index.json"), JSON.stringify(index));
  writeFileSync(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  await using images = await Images.open({ layout: node.layout, log: silentLogger });
  const [image] = await images.importArchive(layout);
  return image?.id ?? "";
}

for (const pod of ["plain", "mapped"] as const) {
  test(`an artifact is a read-only volume of its files, whole or by a folder (${pod} Pod)`, async () => {
    const id = await importArtifact(`model-${pod}`, { "weights/a.bin": `weights ${pod}`, "card.md": "# card" });
    const containerId = await node.run(pod === "plain" ? sandboxId : mapped, "sleep 1000", {
      mounts: [
        volume({ image: { image: id } }),
        volume({ containerPath: "/weights", image: { image: id }, imageSubPath: "weights" }),
      ],
    });
    assert.equal(
      await run(
        containerId,
        "cat /volume/card.md /weights/a.bin; stat -c '%u %a' /volume/card.md; touch /weights/a.bin",
      ),
      `# cardweights ${pod}0 644\ntouch: /weights/a.bin: Read-only file system\n`,
    );
    await node.runtime.removeContainer({ containerId });
    await assert.rejects(node.create(sandboxId, "true", { image: { image: id } }), /mount it as an image volume/);
    await node.images.removeImage({ image: { image: id } });
  });
}

test("an image in use as a volume can be removed; what it shows stays until the container goes", async () => {
  const id = await buildImage("in-use", (rootfs) => {
    mkdirSync(join(rootfs, "data"));
    writeFileSync(join(rootfs, "data/file"), "content\n");
    symlinkSync("data", join(rootfs, "link"));
    symlinkSync("/etc", join(rootfs, "etc-of-image"));
    symlinkSync("../../../../data", join(rootfs, "data/up"));
  });
  const layers = (): string[] => readdirSync(node.layout.snapshotsDir).filter((name) => /^[0-9a-f]{64}$/.test(name));
  const mount = (imageSubPath: string) => ({ mounts: [volume({ image: { image: id }, imageSubPath })] });
  const before = layers();
  for (const path of ["link", "data/up"]) {
    const linked = await node.run(sandboxId, "sleep 1000", mount(path));
    assert.equal(await run(linked, "cat /volume/file"), "content\n");
    await node.runtime.removeContainer({ containerId: linked });
  }
  // A link never leads out of the image: this one has no /etc.
  await assert.rejects(node.create(sandboxId, "true", mount("etc-of-image")), /does not exist/);
  await assert.rejects(node.create(sandboxId, "true", mount("data/file")), /"data\/file" is not a folder/);
  await assert.rejects(node.create(sandboxId, "true", mount("absent")), (error) => {
    assert.match(
      String(error),
      /ImageVolumeMountFailed: mount \/volume: image "sha256:.*: sub-path "absent" does not exist/,
    );
    return isTripodError(error, "not-found");
  });
  const containerId = await node.run(sandboxId, "sleep 1000", mount("data"));
  await node.images.removeImage({ image: { image: id } });
  assert.equal((await node.images.imageStatus({ image: { image: id } })).image, undefined);
  assert.equal(await run(containerId, "cat /volume/file"), "content\n");
  assert.deepEqual(layers(), before);
  await assert.rejects(node.create(sandboxId, "true", mount("data")), /ImageVolumeMountFailed.*pull it first/);
  await node.runtime.removeContainer({ containerId });
  // What nothing uses any more is collected when next an image goes.
  await node.images.removeImage({ image: { image: await buildImage("other", () => {}) } });
  assert.equal(layers().length, before.length - 1);
});

test("an image volume that is writable, or has a host path too, is refused", async () => {
  const refused = async (change: object, why: RegExp): Promise<void> =>
    await assert.rejects(node.create(sandboxId, "true", { mounts: [volume(change)] }), (error) => {
      assert.match(String(error), why);
      return isTripodError(error, "invalid");
    });
  await refused({ readonly: false }, /read-only/);
  await refused({ hostPath: "/etc" }, /both an image and a host path/);
  await refused({ mountOptions: ["exec"] }, /"exec" is not one of nosuid, nodev, noexec/);
});

test("propagation: mounts go both ways, one way, or none, as asked and as the host's mount allows", async () => {
  const shared = join(folder, "shared");
  mkdirSync(shared);
  bindMount(shared, shared);
  const creating = (propagation: MountPropagation) =>
    node.create(sandboxId, "true", { mounts: [{ containerPath: "/s", hostPath: shared, propagation }] });
  const { PROPAGATION_BIDIRECTIONAL, PROPAGATION_HOST_TO_CONTAINER, PROPAGATION_PRIVATE } = MountPropagation;
  try {
    makePrivate(shared);
    await assert.rejects(
      creating(PROPAGATION_BIDIRECTIONAL),
      /path "[^"]*" is mounted on "[^"]*" but it is not a shared mount/,
    );
    await assert.rejects(creating(PROPAGATION_HOST_TO_CONTAINER), /but it is not a shared or slave mount/);
    makeShared(shared);
    for (const name of ["late", "theirs"]) mkdirSync(join(shared, name));
    const config = node.sandboxConfig({ linux: { securityContext: { privileged: true } } });
    const { podSandboxId } = await node.runtime.runPodSandbox({ config });
    const start = (propagation: MountPropagation, sandbox = podSandboxId) =>
      node.run(sandbox, "sleep 1000", {
        mounts: [{ containerPath: "/s", hostPath: shared, propagation }],
        linux: { securityContext: { privileged: sandbox === podSandboxId } },
      });
    const both = await start(PROPAGATION_BIDIRECTIONAL);
    const oneWay = await start(PROPAGATION_HOST_TO_CONTAINER);
    const none = await start(PROPAGATION_PRIVATE);
    const inUserNamespace = await start(PROPAGATION_HOST_TO_CONTAINER, mapped);
    mountTmpfs(join(shared, "late"));
    writeFileSync(join(shared, "late/file"), "");
    const seen = await Promise.all([both, oneWay, none, inUserNamespace].map((id) => run(id, "ls /s/late")));
    assert.deepEqual(seen, ["file\n", "file\n", "", "file\n"]);
    for (const id of [oneWay, none]) await run(id, "mount -t tmpfs x /s/theirs");
    assert.ok(!isMountPoint(join(shared, "theirs")));
    await run(both, "mount -t tmpfs x /s/theirs");
    assert.ok(isMountPoint(join(shared, "theirs")));
    await run(both, "umount /s/theirs");
    assert.ok(!isMountPoint(join(shared, "theirs")));
    await node.runtime.removePodSandbox({ podSandboxId });
  } finally {
    unmount(join(shared, "late"), { detach: true });
    unmount(shared, { detach: true });
  }
});

test("a read-only mount is so at its top, a recursively read-only one all the way down, in both kinds of Pod", async () => {
  const tree = join(folder, "tree");
  mkdirSync(tree);
  mountTmpfs(tree);
  mkdirSync(join(tree, "sub"));
  mountTmpfs(join(tree, "sub"), { mode: 0o777 });
  try {
    for (const sandbox of [sandboxId, mapped]) {
      const containerId = await node.run(sandbox, "sleep 1000", {
        mounts: [
          { containerPath: "/ro", hostPath: tree, readonly: true },
          { containerPath: "/rro", hostPath: tree, readonly: true, recursiveReadOnly: true },
        ],
      });
      const refusal = (path: string): string => `touch: ${path}: Read-only file system\n`;
      const script = "touch /ro/x; touch /ro/sub/$HOSTNAME && echo ok; touch /rro/x; touch /rro/sub/y";
      assert.equal(
        await run(containerId, script),
        `${refusal("/ro/x")}ok\n${refusal("/rro/x")}${refusal("/rro/sub/y")}`,
      );
    }
    const mounts = [{ containerPath: "/x", hostPath: tree, recursiveReadOnly: true }];
    await assert.rejects(node.create(sandboxId, "true", { mounts }), /needs a read-only, private mount/);
  } finally {
    unmount(join(tree, "sub"), { detach: true });
    unmount(tree, { detach: true });
  }
});

test("masked and read-only paths, and a read-only root, hold for root with every capability of a container", async () => {
  const linux = {
    securityContext: {
      readonlyRootfs: true,
      capabilities: { addCapabilities: ["ALL"] },
      maskedPaths: ["/proc/version", "/proc/scsi", "/sys/firmware", "/proc/absent", "/etc"],
      readonlyPaths: ["/proc/sys", "/dev/mqueue", "/proc/absent"],
    },
  };
  for (const sandbox of [sandboxId, mapped]) {
    const containerId = await node.run(sandbox, "sleep 1000", { linux });
    // A masked file is empty, a masked folder is an empty read-only one.
    assert.equal(
      await run(containerId, "wc -c < /proc/version; ls -A /sys/firmware /etc | grep -v :; touch /etc/x"),
      "0\n\ntouch: /etc/x: Read-only file system\n",
    );
    assert.match(
      await run(containerId, "touch /dev/mqueue/x; echo 1 > /proc/sys/vm/swappiness"),
      /mqueue\/x: Read-only.*swappiness: (Read-only|Permission)/s,
    );
    assert.match(
      await run(containerId, "touch /x; mkdir /bin/y; touch /dev/shm/ok /tmp/no"),
      /^touch: \/x: Read-only.*\nmkdir: .*Read-only.*\ntouch: \/tmp\/no: Read-only/,
    );
  }
  const config = node.sandboxConfig({ linux: { securityContext: { privileged: true } } });
  const { podSandboxId } = await node.runtime.runPodSandbox({ config });
  const privileged = await node.run(podSandboxId, "sleep 1000", {
    linux: { securityContext: { privileged: true, readonlyRootfs: true, maskedPaths: [], readonlyPaths: [] } },
  });
  assert.match(
    await run(privileged, "touch /x; ls /proc/sys | wc -l; test -w /proc/sys/vm/swappiness && echo writable"),
    /^touch: \/x: Read-only.*\n\d+\nwritable\n$/,
  );
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("nothing is left when the Pods go", async () => {
  for (const podSandboxId of [sandboxId, mapped]) await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});
