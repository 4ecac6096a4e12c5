import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { VolumeCapability_AccessMode_Mode as Mode, VolumeHealthErrorType } from "@tripod/api/csi";
import { isTripodError, runCommand } from "@tripod/base";
import { connectDriver, type CsiDriverClient, serveDriver } from "@tripod/csi";
import { mountInfo } from "@tripod/linux";
import { noNfsServer, startNfsServer, type TempRoot, tempRoot, type TestNfsServer } from "@tripod/testing";
import { kernelHasNfs } from "./jobs/kernel-nfs.ts";
import { openNfsDriver } from "./nfs-driver.ts";

const capability = (mountFlags: string[] = [], mode = Mode.MULTI_NODE_MULTI_WRITER) => ({
  accessType: { case: "mount" as const, value: { mountFlags } },
  accessMode: { mode },
});

interface Node extends AsyncDisposable {
  readonly client: CsiDriverClient;
  readonly folder: TempRoot;
}

/** A driver with a state of its own, as each node has one. */
async function startNode(nodeId: string, waitMs?: number): Promise<Node> {
  await using owned = new AsyncDisposableStack();
  const folder = owned.use(tempRoot());
  const opened = owned.use(
    await openNfsDriver({ stateDir: join(folder.path, "state"), nodeId, ...(waitMs !== undefined && { waitMs }) }),
  );
  const endpoint = join(folder.path, "csi.sock");
  owned.use(await serveDriver({ endpoint, driver: opened.driver }));
  const client = owned.use(connectDriver(endpoint, { timeoutMs: 50_000 }));
  const kept = owned.move();
  return { client, folder, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function create(
  { client }: Node,
  { server, share }: TestNfsServer,
  { name = "v", ...parameters }: { name?: string } & Record<string, string> = {},
) {
  const request = { name, volumeCapabilities: [capability()], parameters: { server, share, ...parameters } };
  const { volume } = await client.controller.createVolume(request);
  assert.ok(volume !== undefined);
  return volume;
}

type Volume = Awaited<ReturnType<typeof create>>;

async function publish({ client, folder }: Node, { volumeId, volumeContext }: Volume, mountFlags?: string[]) {
  const targetPath = join(folder.path, "pod", volumeId.replaceAll(/[^a-z0-9]/g, "-"), "mount");
  mkdirSync(dirname(targetPath), { recursive: true });
  await client.node.nodePublishVolume({
    volumeId,
    volumeContext,
    targetPath,
    volumeCapability: capability(mountFlags),
  });
  return {
    targetPath,
    [Symbol.asyncDispose]: async () => void (await client.node.nodeUnpublishVolume({ volumeId, targetPath })),
  };
}

const sh = async (script: string, ...words: string[]): Promise<string> =>
  (await runCommand("/bin/sh", ["-c", script, "sh", ...words])).stdout.toString();

describe("nfs", { skip: noNfsServer }, () => {
  test("the kernel mounts a share where it is an NFS client, and a process of ours where it is none", async () => {
    await using server = await startNfsServer();
    await using node = await startNode("a");
    await using published = await publish(node, await create(node, server));
    const mounted = mountInfo().find(({ mountPoint }) => mountPoint === published.targetPath);
    assert.equal(mounted?.type, (await kernelHasNfs()) ? "nfs4" : "fuse.tripod-nfs");
  });

  test("a link may lead to the kubelet's folder", async () => {
    await using server = await startNfsServer();
    await using node = await startNode("a");
    const volume = await create(node, server);
    const [real, link] = [join(node.folder.path, "other-disk"), join(node.folder.path, "link")];
    mkdirSync(real);
    symlinkSync(real, link);
    const publication = {
      volumeId: volume.volumeId,
      volumeContext: volume.volumeContext,
      targetPath: join(link, "mount"),
      volumeCapability: capability(),
    };
    const mounts = () => mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(`${real}/`)).length;
    for (let turn = 0; turn < 2; turn += 1) await node.client.node.nodePublishVolume(publication);
    assert.equal(mounts(), 1);
    for (let turn = 0; turn < 2; turn += 1) await node.client.node.nodeUnpublishVolume(publication);
    assert.equal(mounts(), 0);
  });

  test("two nodes write and read one volume at the same time", async () => {
    await using server = await startNfsServer();
    await using a = await startNode("a");
    await using b = await startNode("b");
    const volume = await create(a, server);
    await using onA = await publish(a, volume);
    await using onB = await publish(b, volume);
    const write =
      'cd "$1"; i=0; while [ $i -lt 60 ]; do echo "$2 $i" > "$2.tmp" && mv "$2.tmp" "$2.$i"; i=$((i+1)); done';
    await Promise.all([sh(write, onA.targetPath, "a"), sh(write, onB.targetPath, "b")]);
    for (const { targetPath } of [onA, onB]) {
      assert.equal(readdirSync(targetPath).length, 120);
      assert.equal(readFileSync(join(targetPath, "a.59"), "utf8"), "a 59\n");
      assert.equal(readFileSync(join(targetPath, "b.59"), "utf8"), "b 59\n");
    }
    // What one has closed the other sees when it opens, again and again.
    for (let turn = 0; turn < 20; turn += 1) {
      const [writer, reader] = turn % 2 === 0 ? [onA, onB] : [onB, onA];
      writeFileSync(join(writer.targetPath, "turn"), "x".repeat(turn + 1));
      assert.equal(readFileSync(join(reader.targetPath, "turn"), "utf8"), "x".repeat(turn + 1));
      assert.equal(statSync(join(reader.targetPath, "turn")).size, turn + 1);
    }
    // Only one of many makes a file that must not be there.
    const lock = 'cd "$1"; set -C; { echo > lock; } 2> /dev/null && echo won || true';
    const outcomes = await Promise.all([onA, onB, onA, onB].map(({ targetPath }) => sh(lock, targetPath)));
    assert.equal(outcomes.filter((outcome) => outcome === "won\n").length, 1);
    // A file that is removed elsewhere while open stays readable where it was removed.
    assert.equal(await sh('cd "$1"; echo kept > f; exec 3< f; rm f; [ ! -e f ]; cat <&3', onA.targetPath), "kept\n");
  });

  test("programs go on when a server comes back that was killed; soft mounts fail while it is away", async () => {
    await using server = await startNfsServer();
    await using node = await startNode("a");
    const hard = await create(node, server, { name: "hard" });
    const soft = await create(node, server, { name: "soft" });
    await using onHard = await publish(node, hard);
    await using onSoft = await publish(node, soft, ["soft", "timeo=5", "retrans=1"]);
    const writing = sh(
      'cd "$1"; i=0; while [ $i -lt 300 ]; do echo $i >> log; mkdir d$i; i=$((i+1)); done; wc -l < log; ls -d d* | wc -l',
      onHard.targetPath,
    );
    while (!existsSync(join(server.dir, "hard/d20"))) await new Promise((resolve) => setImmediate(resolve));
    await server.stop();
    await assert.rejects(sh('echo x > "$1/file"', onSoft.targetPath));
    // The driver tells, and neither waits nor keeps others waiting.
    const statistics = node.client.node.nodeGetVolumeStats({ volumeId: soft.volumeId, volumePath: onSoft.targetPath });
    await assert.rejects(statistics, (error) => isTripodError(error, "unavailable"));
    const { volumeHealth } = await node.client.node.nodeGetVolumeHealth({
      volumeId: soft.volumeId,
      volumePublishPath: onSoft.targetPath,
    });
    assert.equal(volumeHealth?.healthStatuses[0]?.status, VolumeHealthErrorType.INACCESSIBLE);
    const { backendHealth } = await node.client.node.nodeGetStorageHealth({});
    assert.equal(backendHealth.length, 1);
    const creating = create(node, server, { name: "later" });
    await assert.rejects(creating, (error) => isTripodError(error, "unavailable"));
    await server.start();
    assert.equal(await writing, "300\n300\n");
    await sh('echo x > "$1/file"', onSoft.targetPath);
  });

  test("a server that hangs keeps the driver from nothing, and who is killed is let go", {
    timeout: 60_000,
  }, async () => {
    await using server = await startNfsServer();
    await using node = await startNode("a");
    const volume = await create(node, server);
    await using published = await publish(node, volume);
    await server.signal("SIGSTOP");
    const { volumeId } = volume;
    const asked = node.client.node.nodeGetVolumeStats({ volumeId, volumePath: published.targetPath });
    const refused = assert.rejects(
      create(node, server),
      (error) => isTripodError(error, "unavailable") && error.message.startsWith(`NFS share ${server.server}:/share: `),
    );
    const waiting = runCommand("cat", [join(published.targetPath, "file")], { timeoutMs: 1000 });
    await assert.rejects(waiting, (error) => isTripodError(error, "timeout"));
    const before = Date.now();
    await node.client.identity.probe({});
    assert.ok(Date.now() - before < 1000, "others are answered meanwhile");
    await assert.rejects(asked, (error) => isTripodError(error, "unavailable"));
    await refused;
    await server.signal("SIGCONT");
    assert.ok(
      (await node.client.node.nodeGetVolumeStats({ volumeId, volumePath: published.targetPath })).usage.length > 0,
    );
  });

  test("paths and links that lead out of the share, or into the driver's folder, are refused", async () => {
    await using server = await startNfsServer();
    await using node = await startNode("a");
    for (const change of [
      { subDir: "../out" },
      { subDir: "a/../../out" },
      { subDir: ".tripod-csi/x" },
      { share: "/share/../etc" },
      { server: "host;rm" },
      { subDir: "${pvc.metadata.name}" },
      { subDir: "a#b" },
      { onDelete: "forget" },
      { mountPermissions: "rwx" },
      { tpye: "fast" },
    ] satisfies Record<string, string>[])
      await assert.rejects(
        create(node, server, change),
        (error) => isTripodError(error, "invalid"),
        JSON.stringify(change),
      );
    symlinkSync("/etc", join(server.dir, "link"));
    for (const subDir of ["link", "link/new"])
      await assert.rejects(create(node, server, { subDir }), (error) =>
        isTripodError(error, "failed-precondition", "permission-denied"),
      );
    const { server: host, share } = server;
    for (const [volumeId, subDir] of [
      ["static", "link"],
      ["static", "link/ssh"],
      [`${host}#share#link##`, ""],
    ]) {
      const volume = {
        volumeId: volumeId ?? "",
        volumeContext: subDir === "" ? {} : { server: host, share, subDir: subDir ?? "" },
      };
      const targetPath = join(node.folder.path, "target");
      const publishing = node.client.node.nodePublishVolume({
        volumeId: volume.volumeId,
        volumeContext: volume.volumeContext,
        targetPath,
        volumeCapability: capability(),
      });
      await assert.rejects(publishing, (error) => isTripodError(error, "failed-precondition", "not-found"));
      assert.equal(existsSync(targetPath), false);
    }
    await assert.rejects(node.client.controller.deleteVolume({ volumeId: `${host}#share#link##` }));
    assert.ok(existsSync("/etc/passwd"));
  });

  test("a driver's own folder that is a link is not followed", async () => {
    await using server = await startNfsServer();
    await using node = await startNode("a");
    symlinkSync(node.folder.path, join(server.dir, ".tripod-csi"));
    await assert.rejects(create(node, server), (error) => isTripodError(error, "failed-precondition"));
    assert.equal(existsSync(join(node.folder.path, "volumes")), false);
  });

  test("subDir is filled in, and onDelete decides what stays", async () => {
    await using server = await startNfsServer();
    await using node = await startNode("a");
    const claim = { "csi.storage.k8s.io/pvc/name": "data", "csi.storage.k8s.io/pvc/namespace": "prod" };
    const subDir = "${pvc.metadata.namespace}/${pvc.metadata.name}";
    for (const [onDelete, left] of [
      ["archive", ["archived-data"]],
      ["archive", ["archived-data", "archived-data-1"]],
      ["retain", ["archived-data", "archived-data-1", "data"]],
      ["delete", ["archived-data", "archived-data-1"]],
    ] as const) {
      const volume = await create(node, server, { ...claim, subDir, onDelete, mountPermissions: "0750" });
      assert.equal(volume.volumeId, `${server.server}#share#prod/data#v#${onDelete === "delete" ? "" : onDelete}`);
      assert.equal(statSync(join(server.dir, "prod/data")).mode & 0o7777, 0o750);
      await using published = await publish(node, volume);
      writeFileSync(join(published.targetPath, "file"), "x");
      await node.client.controller.deleteVolume({ volumeId: volume.volumeId });
      assert.deepEqual(readdirSync(join(server.dir, "prod")).toSorted(), left);
    }
    // Two volumes of one folder: it goes with the last.
    const [one, two] = [
      await create(node, server, { name: "one", subDir: "common" }),
      await create(node, server, { name: "two", subDir: "common" }),
    ];
    await node.client.controller.deleteVolume({ volumeId: one.volumeId });
    assert.ok(existsSync(join(server.dir, "common")));
    await node.client.controller.deleteVolume({ volumeId: two.volumeId });
    assert.equal(existsSync(join(server.dir, "common")), false);
  });

  test("a copy keeps what files are, goes on when its caller does not wait, and ends when it is not wanted", async () => {
    await using server = await startNfsServer();
    await using node = await startNode("a", 1);
    const source = await create(node, server, { name: "source" });
    const dir = join(server.dir, "source");
    await sh(
      'cd "$1"; mkdir -m 2750 d; echo x > d/f; chown 7:8 d/f; chmod 4711 d/f; touch -d 2001-02-03 d/f; ln d/f d/h; ln -s ../../.. d/l; mkfifo p; truncate -s 5M sparse',
      dir,
    );
    const clone = (name: string) =>
      node.client.controller.createVolume({
        name,
        volumeCapabilities: [capability()],
        parameters: { server: server.server, share: server.share },
        volumeContentSource: { type: { case: "volume", value: { volumeId: source.volumeId } } },
      });
    await assert.rejects(
      clone("copy"),
      (error) => isTripodError(error, "aborted") && /copied so far/.test(error.message),
    );
    while (!existsSync(join(server.dir, "copy"))) await new Promise((resolve) => setImmediate(resolve));
    // The server keeps the times of links to itself.
    const told =
      'cd "$1"; find . -mindepth 1 -type l -printf "%P %l\\n" -o -mindepth 1 -printf "%P %m %U %G %y %n %T@ %s\\n" | sort';
    assert.equal(await sh(told, join(server.dir, "copy")), await sh(told, dir));
    for (;;) {
      const made = await clone("copy").catch((error: unknown) => {
        if (!isTripodError(error, "aborted")) throw error;
        return undefined;
      });
      if (made !== undefined) break;
    }
    await sh('cd "$1"; for i in $(seq 400); do echo $i > file$i; done', dir);
    await assert.rejects(clone("unwanted"), (error) => isTripodError(error, "aborted"));
    const volumeId = `${server.server}#share#unwanted##`;
    for (;;) {
      const error = await node.client.controller.deleteVolume({ volumeId }).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (error === undefined) break;
      assert.ok(isTripodError(error, "aborted"));
    }
    assert.equal(existsSync(join(server.dir, "unwanted")), false);
    assert.deepEqual(readdirSync(join(server.dir, ".tripod-csi/making")), []);
  });

  test("when nobody uses a share any more nothing of it is mounted", async () => {
    await using server = await startNfsServer();
    const node = await startNode("a");
    const volume = await create(node, server);
    await (await publish(node, volume))[Symbol.asyncDispose]();
    const { path } = node.folder;
    await node[Symbol.asyncDispose]();
    assert.deepEqual(
      mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(path)),
      [],
    );
  });
});
