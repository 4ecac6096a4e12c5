import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MountPropagation } from "@tripod/api/cri";
import { bindMount, mountTmpfs, setPropagation } from "@tripod/linux";
import { notImplemented, topic } from "../suite/spec.ts";
import { refused, type World } from "../suite/world.ts";

const {
  PROPAGATION_PRIVATE: PRIVATE,
  PROPAGATION_HOST_TO_CONTAINER: FROM_HOST,
  PROPAGATION_BIDIRECTIONAL: BOTH,
} = MountPropagation;

/** A folder that is a mount of its own, shared or private, with an empty folder in it, and another folder with a file. */
function propagationFolders(world: World, propagation: "shared" | "private") {
  const top = world.folder();
  const source = join(top, "source");
  const other = join(top, "other");
  for (const folder of [join(source, "from-host"), join(source, "from-container"), other])
    mkdirSync(folder, { recursive: true });
  writeFileSync(join(other, "flag"), "");
  bindMount(source, source);
  setPropagation(source, propagation, { recursive: true });
  return { source, other };
}

async function propagates(
  world: World,
  propagation: MountPropagation,
): Promise<{ readonly in: boolean; readonly out: boolean }> {
  const sandbox = await world.sandbox({ linux: { securityContext: { privileged: true } } });
  const { source, other } = propagationFolders(world, propagation === PRIVATE ? "private" : "shared");
  const mounts = [{ hostPath: source, containerPath: "/mnt", propagation }];
  const id = await world.run(sandbox, { mounts, linux: { securityContext: { privileged: true } } });
  assert.equal((await world.status(id)).mounts[0]?.propagation, propagation);
  bindMount(other, join(source, "from-host"));
  const seen = await world.exec(id, "ls", "/mnt/from-host");
  await world.exec(id, "mount", "--bind", "/etc", "/mnt/from-container");
  return { in: seen !== "", out: readdirSync(join(source, "from-container")).length > 0 };
}

/** A folder with a tmpfs mounted below it. */
function nestedFolder(world: World): string {
  const folder = world.folder();
  mkdirSync(join(folder, "tmpfs"));
  mountTmpfs(join(folder, "tmpfs"));
  return folder;
}

async function needRecursive(world: World): Promise<void> {
  const { runtimeHandlers } = await world.runtime.status({});
  const handler = runtimeHandlers.find(({ name }) => name === (world.session.target.handler ?? ""));
  if (handler?.features?.recursiveReadOnlyMounts !== true)
    notImplemented("the handler has no feature recursive_read_only_mounts");
}

export const mounts = topic("mounts", {
  async "a folder of the node is mounted, in both directions"(world) {
    const hostPath = world.folder();
    writeFileSync(join(hostPath, "from-host"), "hello");
    const id = await world.run(await world.pod(), { mounts: [{ hostPath, containerPath: "/mnt/deep" }] });
    assert.equal(await world.exec(id, "cat", "/mnt/deep/from-host"), "hello");
    await world.exec(id, "sh", "-c", "echo back >/mnt/deep/from-container");
    assert.equal(readFileSync(join(hostPath, "from-container"), "utf8"), "back\n");
  },
  async "a single file is mounted"(world) {
    const hostPath = join(world.folder(), "file");
    writeFileSync(hostPath, "hello");
    const id = await world.run(await world.pod(), { mounts: [{ hostPath, containerPath: "/etc/of-host" }] });
    assert.equal(await world.exec(id, "cat", "/etc/of-host"), "hello");
  },
  async "a mount takes the place of the runtime's own /etc/hosts and resolv.conf"(world) {
    const folder = world.folder();
    const own = ["hosts", "resolv.conf"].map((name) => {
      writeFileSync(join(folder, name), `# own ${name}\n`);
      return { hostPath: join(folder, name), containerPath: `/etc/${name}` };
    });
    const id = await world.run(await world.pod(), { mounts: own });
    assert.equal(await world.exec(id, "cat", "/etc/hosts", "/etc/resolv.conf"), "# own hosts\n# own resolv.conf");
  },
  async "a host path that is a symbolic link leads to its target"(world) {
    const folder = world.folder();
    mkdirSync(join(folder, "target"));
    writeFileSync(join(folder, "target/file"), "linked");
    const hostPath = join(folder, "link");
    symlinkSync(join(folder, "target"), hostPath);
    const id = await world.run(await world.pod(), { mounts: [{ hostPath, containerPath: "/mnt" }] });
    assert.equal(await world.exec(id, "cat", "/mnt/file"), "linked");
  },
  async "a symbolic link of the image below a mount point does not lead out of the container"(world) {
    const hostPath = world.folder();
    const marker = join(world.folder(), "escaped");
    symlinkSync(marker, join(hostPath, "link"));
    const mounted = [
      { hostPath, containerPath: "/mnt" },
      { hostPath: world.folder(), containerPath: "/mnt/link" },
    ];
    const start = world.run(await world.pod(), { mounts: mounted });
    await start.catch(() => undefined); // to refuse it is right too
    assert.ok(!existsSync(marker), "a folder was made outside of the container");
  },
  async "a host path that does not exist is refused, or made as an empty folder"(world) {
    const hostPath = join(world.folder(), "nothing");
    const start = world.run(await world.pod(), { mounts: [{ hostPath, containerPath: "/mnt" }] });
    const id = await start.catch(() => undefined); // the interface asks for that; volumes of kind hostPath rely on the other
    assert.equal(existsSync(hostPath), id !== undefined);
    if (id !== undefined) assert.equal(await world.exec(id, "ls", "-A", "/mnt"), "");
  },
  async "a read-only mount cannot be written"(world) {
    const mounts = [{ hostPath: world.folder(), containerPath: "/mnt", readonly: true }];
    const id = await world.run(await world.pod(), { mounts });
    assert.match(await world.execFails(id, "touch", "/mnt/file"), /Read-only file system/);
  },
  async "a mount inside another mount is there whatever their order"(world) {
    const [outer, inner] = [world.folder(), world.folder()];
    writeFileSync(join(inner, "file"), "inner");
    mkdirSync(join(outer, "in"));
    const pair = [
      { hostPath: inner, containerPath: "/mnt/in" },
      { hostPath: outer, containerPath: "/mnt" },
    ];
    for (const ordered of [pair, pair.toReversed()]) {
      const id = await world.run(await world.pod(), { mounts: ordered });
      assert.equal(await world.exec(id, "cat", "/mnt/in/file"), "inner");
    }
  },
  async "PRIVATE: mounts propagate in no direction"(world) {
    assert.deepEqual(await propagates(world, PRIVATE), { in: false, out: false });
  },
  async "HOST_TO_CONTAINER: mounts of the node are seen by the container"(world) {
    assert.deepEqual(await propagates(world, FROM_HOST), { in: true, out: false });
  },
  async "BIDIRECTIONAL: mounts are seen in both directions"(world) {
    assert.deepEqual(await propagates(world, BOTH), { in: true, out: true });
  },
  async "propagation from a mount that the node does not share is refused"(world) {
    const sandbox = await world.sandbox({ linux: { securityContext: { privileged: true } } });
    const { source } = propagationFolders(world, "private");
    for (const propagation of [FROM_HOST, BOTH]) {
      const mounts = [{ hostPath: source, containerPath: "/mnt", propagation }];
      await refused(world.run(sandbox, { mounts, linux: { securityContext: { privileged: true } } }));
    }
  },
  async "a read-only mount leaves what is mounted below it writable"(world) {
    const mounts = [{ hostPath: nestedFolder(world), containerPath: "/mnt", readonly: true }];
    const id = await world.run(await world.pod(), { mounts });
    await world.execFails(id, "touch", "/mnt/file");
    await world.exec(id, "touch", "/mnt/tmpfs/file");
  },
  async "a recursively read-only mount makes what is mounted below it read-only too"(world) {
    await needRecursive(world);
    const mounts = [{ hostPath: nestedFolder(world), containerPath: "/mnt", readonly: true, recursiveReadOnly: true }];
    const id = await world.run(await world.pod(), { mounts });
    assert.match(await world.execFails(id, "touch", "/mnt/tmpfs/file"), /Read-only file system/);
    assert.equal((await world.status(id)).mounts[0]?.recursiveReadOnly, true);
  },
  async "recursively read-only needs read-only and no propagation"(world) {
    await needRecursive(world);
    const mount = { hostPath: nestedFolder(world), containerPath: "/mnt", recursiveReadOnly: true };
    for (const wrong of [
      { readonly: false },
      { readonly: true, propagation: FROM_HOST },
      { readonly: true, propagation: BOTH },
    ])
      await refused(world.create(await world.pod(), { mounts: [{ ...mount, ...wrong }] }));
  },
});
