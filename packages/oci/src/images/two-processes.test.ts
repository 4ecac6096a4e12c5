import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { runCommand, silentLogger } from "@tripod/base";
import { tempRoot } from "@tripod/testing";
import { hexOf } from "../digest.ts";
import { Images } from "../images.ts";
import { memoryImage, misbehavingRegistry, serve } from "../registry/misbehaving-registry.ts";

const fixture = new URL("./pull-fixture.ts", import.meta.url).pathname;
const image = memoryImage(3_000_000);
const layer = { bytes: image.layer, type: "application/octet-stream" };

interface Puller {
  readonly child: ChildProcess;
  readonly exited: Promise<unknown[]>;
  /** What it has said so far. */
  readonly said: string[];
  /** Settles when it says a line that begins so. */
  says(start: string): Promise<void>;
}

function puller(root: string, name: string): Puller {
  const child = spawn(process.execPath, [fixture, root, name], { stdio: ["ignore", "pipe", "inherit"] });
  const said: string[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => said.push(line));
  return {
    child,
    said,
    exited: once(child, "close"),
    async says(start) {
      while (!said.some((line) => line.startsWith(start))) await once(lines, "line");
    },
  };
}

test("two processes that pull one image at once fetch and unpack each layer once", async () => {
  const both = Promise.withResolvers<void>();
  await using registry = await misbehavingRegistry(image, (request, response, path) => {
    if (!path.endsWith(image.layerDigest)) return false;
    void both.promise.then(() => serve(request, response, layer));
    return true;
  });
  await using root = tempRoot();
  const pullers = [puller(root.path, `${registry.host}/app`), puller(root.path, `${registry.host}/app`)];
  await Promise.all(pullers.map((each) => each.says(`waiting ${image.layerDigest}`)));
  both.resolve();
  assert.deepEqual(await Promise.all(pullers.map(({ exited }) => exited)), [
    [0, null],
    [0, null],
  ]);
  const asked = registry.requests.filter(({ url, method }) => method === "GET" && url?.endsWith(image.layerDigest));
  assert.equal(asked.length, 1);
  const said = pullers.flatMap((each) => each.said);
  assert.equal(said.filter((line) => line.startsWith("unpacking")).length, 1, said.join("\n"));
  for (const dir of ["ingest", "locks", "tmp"]) assert.deepEqual(readdirSync(join(root.layout.contentDir, dir)), []);
});

test("a process that waits for another's download goes on with it when that one is killed", async () => {
  let first = true;
  await using registry = await misbehavingRegistry(image, (_request, response, path) => {
    if (!path.endsWith(image.layerDigest) || !first) return false;
    first = false;
    response.writeHead(200, { "content-length": String(image.layer.length) });
    response.write(image.layer.subarray(0, 1_000_000));
    return true;
  });
  await using root = tempRoot();
  const killed = puller(root.path, `${registry.host}/app`);
  await killed.says(`downloading ${image.layerDigest}`);
  const other = puller(root.path, `${registry.host}/app`);
  await other.says(`waiting ${image.layerDigest}`);
  killed.child.kill("SIGKILL");
  await killed.exited;
  assert.deepEqual(await other.exited, [0, null]);
  const asked = registry.requests.filter(({ url, method }) => method === "GET" && url?.endsWith(image.layerDigest));
  assert.equal(asked.length, 2);
});

test("a layer whose blob has changed on the disk is fetched again, in a pull; without a registry the error says what to do", async () => {
  await using registry = await misbehavingRegistry(image);
  await using root = tempRoot();
  const name = `${registry.host}/app`;
  await using images = await Images.open({ layout: root.layout, log: silentLogger });
  const pulled = await images.pull(name);
  const blob = join(root.layout.contentDir, "blobs/sha256", hexOf(image.layerDigest));
  for (const at of [1000, 1_500_000]) {
    const damaged = readFileSync(blob);
    damaged.writeUInt8(damaged.readUInt8(at) ^ 0xff, at);
    writeFileSync(blob, damaged);
    await runCommand("rm", ["-r", join(root.layout.snapshotsDir, hexOf(pulled.chainId))]);
    await images.pull(name);
    assert.ok(readFileSync(blob).equals(image.layer));
    const { rootfs } = await images.prepareRootfs("c", name);
    assert.equal(readFileSync(join(rootfs, "file")).length, 3_000_000);
    await images.removeRootfs("c");
  }
  writeFileSync(blob, Buffer.alloc(image.layer.length));
  await runCommand("rm", ["-r", join(root.layout.snapshotsDir, hexOf(pulled.chainId))]);
  await assert.rejects(images.prepareRootfs("c", name), {
    code: "failed-precondition",
    message: /layer sha256:.* is lost; pull, import or build the image again/,
  });
  await images.removeRootfs("c");
});
