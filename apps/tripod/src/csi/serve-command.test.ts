import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { VolumeCapability_AccessMode_Mode as Mode } from "@tripod/api/csi";
import { connectDriver } from "@tripod/csi";
import { isMountPoint, isRoot, mountInfo } from "@tripod/linux";
import { TemporaryFolder } from "@tripod/linux/testing";

const capability = { accessType: { case: "mount" as const, value: {} }, accessMode: { mode: Mode.SINGLE_NODE_WRITER } };

interface DriverProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals>;
}

/** `tripod csi serve hostpath` as a process of its own, ready when this resolves. */
async function start(
  folder: TemporaryFolder,
  options: { failpoint?: string; args?: string[] } = {},
): Promise<DriverProcess> {
  const endpoint = `unix://${folder.join("csi.sock")}`;
  const required = ["--endpoint", endpoint, "--node-id", "n", "--state", folder.join("state")];
  const main = join(import.meta.dirname, "../main.ts");
  const args = [main, "csi", "serve", "hostpath", ...required, ...(options.args ?? [])];
  const { TRIPOD_FAILPOINT: _none, ...env } = process.env;
  const child = spawn(process.execPath, args, {
    stdio: ["pipe", "ignore", "pipe"],
    env: options.failpoint === undefined ? env : { ...env, TRIPOD_FAILPOINT: options.failpoint },
  });
  const ended = new Promise<number | NodeJS.Signals>((resolve) =>
    child.once("exit", (code, signal) => resolve(signal ?? code ?? -1)),
  );
  await new Promise<void>((resolve, reject) => {
    let text = "";
    child.stderr.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("CSI driver is ready")) resolve();
    });
    void ended.then(() => reject(new Error(`driver ended: ${text}`)));
  });
  return {
    child,
    ended,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

describe("tripod csi serve", { skip: isRoot() ? false : "mounting needs root", concurrency: 2 }, () => {
  test("SIGTERM ends it in order: exit code 0, no socket left", async () => {
    using folder = new TemporaryFolder("csi-serve");
    await using driver = await start(folder, { args: ["--registration-dir", folder.join("reg")] });
    assert.deepEqual(readdirSync(folder.join("reg")), ["hostpath.csi.tripod.dev-reg.sock"]);
    driver.child.kill("SIGTERM");
    assert.equal(await driver.ended, 0);
    assert.equal(existsSync(folder.join("csi.sock")), false);
    assert.deepEqual(readdirSync(folder.join("reg")), []);
  });

  test("with --exit-with-parent it ends when its standard input closes", async () => {
    using folder = new TemporaryFolder("csi-serve");
    await using driver = await start(folder, { args: ["--exit-with-parent"] });
    driver.child.stdin?.end();
    assert.equal(await driver.ended, 0);
  });

  const target = (folder: TemporaryFolder): string => folder.join("pods/target");
  const request = { name: "pvc-1", volumeCapabilities: [capability] };
  /** The whole life of a volume; every step may be asked for again after a crash. */
  const life = async (folder: TemporaryFolder): Promise<void> => {
    using client = connectDriver(folder.join("csi.sock"), { timeoutMs: 20_000 });
    const { volume } = await client.controller.createVolume(request);
    const volumeId = volume?.volumeId ?? "";
    await client.node.nodePublishVolume({ volumeId, targetPath: target(folder), volumeCapability: capability });
    writeFileSync(join(target(folder), "file"), "kept");
    await client.node.nodeUnpublishVolume({ volumeId, targetPath: target(folder) });
    await client.controller.deleteVolume({ volumeId });
  };

  for (const failpoint of [
    "hostpath.create.folder-made",
    "hostpath.create.recorded",
    "hostpath.publish.recorded",
    "hostpath.publish.target-made",
    "hostpath.publish.mounted",
    "hostpath.unpublish.unmounted",
    "hostpath.unpublish.target-removed",
    "hostpath.delete.marked",
    "hostpath.delete.files-gone",
  ]) {
    test(`killed at ${failpoint}, the same calls asked for again end well and leave nothing`, async () => {
      using folder = new TemporaryFolder("csi-serve");
      {
        await using driver = await start(folder, { failpoint });
        await assert.rejects(life(folder));
        assert.equal(await driver.ended, "SIGKILL");
      }
      await using driver = await start(folder);
      await life(folder);
      assert.deepEqual(readdirSync(folder.join("state/volumes")), []);
      assert.equal(existsSync(target(folder)), false);
      assert.deepEqual(
        mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(folder.path)),
        [],
      );
      driver.child.kill("SIGTERM");
      assert.equal(await driver.ended, 0);
    });
  }

  test("a creation that was never asked for again leaves no folder after a restart", async () => {
    using folder = new TemporaryFolder("csi-serve");
    {
      await using driver = await start(folder, { failpoint: "hostpath.create.folder-made" });
      await assert.rejects(life(folder));
      await driver.ended;
    }
    assert.equal(readdirSync(folder.join("state/volumes")).length, 1);
    await using _driver = await start(folder);
    assert.deepEqual(readdirSync(folder.join("state/volumes")), []);
  });

  test("published volumes stay mounted, with their data, while the driver is killed and started again", async () => {
    using folder = new TemporaryFolder("csi-serve");
    const publication = { volumeId: "", targetPath: target(folder), volumeCapability: capability };
    {
      await using _driver = await start(folder);
      using client = connectDriver(folder.join("csi.sock"));
      publication.volumeId = (await client.controller.createVolume(request)).volume?.volumeId ?? "";
      await client.node.nodePublishVolume(publication);
      writeFileSync(join(target(folder), "file"), "kept");
    }
    assert.ok(isMountPoint(target(folder)));
    await using _driver = await start(folder);
    using client = connectDriver(folder.join("csi.sock"));
    await client.node.nodePublishVolume(publication);
    assert.equal(readFileSync(join(target(folder), "file"), "utf8"), "kept");
    assert.equal(mountInfo().filter(({ mountPoint }) => mountPoint === target(folder)).length, 1);
    await client.node.nodeUnpublishVolume(publication);
    await client.controller.deleteVolume(publication);
  });
});
