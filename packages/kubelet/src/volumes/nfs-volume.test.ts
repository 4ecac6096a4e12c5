import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { PersistentVolume } from "@tripod/api/kubernetes";
import { runCommand } from "@tripod/base";
import { mountInfo, mountTmpfs } from "@tripod/linux";
import { noNfsServer, startNfsServer, type TestNfsServer } from "@tripod/testing";
import { startVolumeRig, type VolumeRig } from "../testing/volume-rig.ts";
import { closeNfsVolume } from "./nfs-volume.ts";
import { VolumeError } from "./volume-manager.ts";

// A machine without modprobe has no modules to load: what the kernel then has is asked below.
await runCommand("modprobe", ["--quiet", "nfs"], { okExitCodes: "any" }).catch(() => undefined);
const kernelMounts = existsSync("/sbin/mount.nfs") && /\tnfs4$/m.test(readFileSync("/proc/filesystems", "utf8"));

let rig: VolumeRig;
before(async () => {
  rig = await startVolumeRig();
});
after(() => rig[Symbol.asyncDispose]());

const podWith = (name: string, nfs: { server: string; path: string; readOnly?: boolean }) =>
  rig.createPod(name, {}, { volumes: [{ name: "v", nfs }] });

async function folderOf(pod: Parameters<VolumeRig["setUp"]>[0]): Promise<string> {
  const volume = (await rig.setUp(pod)).get("v");
  assert.equal(volume?.kind, "folder");
  return volume.hostPath;
}

const refusal = async (pod: Parameters<VolumeRig["setUp"]>[0]): Promise<string> => {
  const error: unknown = await rig.setUp(pod).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert(error instanceof AggregateError);
  const [failure]: unknown[] = error.errors;
  assert(failure instanceof VolumeError);
  return failure.message;
};

test("where the kernel, or nfs-common, is not there, the Pod is told of the driver that mounts without them", {
  skip: kernelMounts ? "this kernel mounts NFS" : false,
}, async () => {
  const pod = podWith("told", { server: "127.0.0.1", path: "/share" });
  assert.match(
    await refusal(pod),
    /(?:no NFS client|install nfs-common).* use a PersistentVolume of nfs\.csi\.tripod\.dev/,
  );
  await rig.tearDown(pod);
});

test("a server that is an option, or a path that is not absolute, is refused", async () => {
  for (const nfs of [
    { server: "-V", path: "/share" },
    { server: "host", path: "share" },
  ]) {
    const pod = podWith(`bad-${nfs.path.length}`, nfs);
    assert.match(await refusal(pod), /needs a server's name or address, and an absolute path/);
    await rig.tearDown(pod);
  }
});

test("a mount goes also where a link leads to the kubelet's folder", async () => {
  const [real, link] = [join(rig.layout.root ?? "", "other-disk"), join(rig.layout.root ?? "", "link")];
  mkdirSync(join(real, "v"), { recursive: true });
  symlinkSync(real, link);
  mountTmpfs(join(real, "v"));
  await closeNfsVolume(join(link, "v"));
  assert.equal(existsSync(join(real, "v")), false);
  await closeNfsVolume(join(link, "v"));
});

describe("by the kernel", {
  skip: noNfsServer === false ? (kernelMounts ? false : "this kernel, without nfs-common, mounts no NFS") : noNfsServer,
}, () => {
  let server: TestNfsServer;
  before(async () => {
    server = await startNfsServer();
  });
  after(() => server[Symbol.asyncDispose]());

  test("Pods share an export and see the same files; after a restart of the kubelet nothing is mounted twice", async () => {
    const nfs = { server: server.server, path: server.share };
    const [one, two] = [podWith("one", nfs), podWith("two", { ...nfs, readOnly: true })];
    const [first, second] = await Promise.all([folderOf(one), folderOf(two)]);
    writeFileSync(join(first, "file"), "shared");
    assert.equal(readFileSync(join(second, "file"), "utf8"), "shared");
    assert.throws(() => writeFileSync(join(second, "file"), ""), { code: "EROFS" });
    assert.match(first, /\/volumes\/kubernetes\.io~nfs\/v$/);
    const types = (): string[] =>
      mountInfo().flatMap(({ type, mountPoint }) => (mountPoint === first || mountPoint === second ? [type] : []));
    assert.deepEqual(types(), ["nfs4", "nfs4"]);
    await rig.restart();
    assert.equal(await folderOf(one), first);
    assert.deepEqual(types(), ["nfs4", "nfs4"]);
    for (const pod of [one, two]) await rig.tearDown(pod);
    assert.equal(readFileSync(join(server.dir, "file"), "utf8"), "shared");
    assert.deepEqual(rig.mounts(), []);
  });

  test("a PersistentVolume's mount options are the kernel's, and its claim may be read only", async () => {
    mkdirSync(join(server.dir, "folder"), { recursive: true });
    rig.createClaim("data");
    rig.api.update("persistentvolumes", "pv-data", (object) => {
      const { csi: _, ...spec } = (object as PersistentVolume).spec; // of that kind
      const nfs = { server: server.server, path: `${server.share}/folder` };
      return { ...object, spec: { ...spec, nfs, mountOptions: ["nfsvers=4.1", "soft,timeo=50"] } };
    });
    const volumes = [{ name: "v", persistentVolumeClaim: { claimName: "data", readOnly: true } }];
    const pod = rig.createPod("reader", {}, { volumes });
    const folder = await folderOf(pod);
    const mounted = mountInfo().find(({ mountPoint }) => mountPoint === folder);
    for (const option of ["vers=4.1", "soft", "timeo=50"]) assert(mounted?.superOptions.includes(option), option);
    assert(mounted?.options.includes("ro"));
    await rig.tearDown(pod);
  });

  test("an export that is not there is an error that names it", async () => {
    const pod = podWith("lost", { server: server.server, path: "/elsewhere" });
    assert.match(await refusal(pod), /mount [\d.]+:\/elsewhere: .*No such file or directory/s);
    await rig.tearDown(pod);
    assert.deepEqual(rig.mounts(), []);
  });

  test("a Pod ends though its server hangs, and others go on meanwhile", { timeout: 60_000 }, async () => {
    const pod = podWith("stuck", { server: server.server, path: server.share });
    const folder = await folderOf(pod);
    writeFileSync(join(folder, "stuck"), "written");
    await server.signal("SIGSTOP");
    const ended = rig.tearDown(pod);
    const other = rig.createPod("other", {}, { volumes: [{ name: "v", emptyDir: {} }] });
    await rig.setUp(other);
    await rig.tearDown(other);
    await ended;
    assert.deepEqual(rig.mounts(), []);
    await server.signal("SIGCONT");
  });
});
