import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readdirSync, watch, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ContainerState, NamespaceMode } from "@tripod/api/cri";
import { type Layout, silentLogger } from "@tripod/base";
import { fuseProblem, waitForExit } from "@tripod/linux";
import { Images, type LazyLayer } from "@tripod/oci";
import { makeBusyboxRootfs, startRegistry, tempRoot, type TestRegistry } from "@tripod/testing";
import { startTestNode, type TestNode } from "./testing/test-node.ts";

const skip = fuseProblem() ?? false;
const big = createHash("shake256", { outputLength: 10_000_000 }).update("big").digest();
const bigSum = createHash("sha256").update(big).digest("hex");

let node: TestNode;
let registry: TestRegistry;
before(async () => {
  if (skip !== false) return;
  node = await startTestNode({ ownProcess: true, config: { lazyStart: "annotation", snapshotter: "overlay" } });
  registry = await startRegistry();
  await pushImage(registry.host);
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});

/** An image in eStargz: busybox, and a file that takes long. */
async function pushImage(host: string): Promise<void> {
  await using root = tempRoot();
  const context = join(root.path, "rootfs");
  mkdirSync(context);
  await makeBusyboxRootfs(context);
  writeFileSync(join(context, "big"), big);
  await using images = await Images.open({ layout: root.layout, log: silentLogger });
  const name = `${host}/app:1`;
  await images.build({ context, tags: [name], spec: { cmd: ["/bin/sh"], env: { PATH: "/bin" } }, estargz: true });
  await images.push(name);
}

/** Passes requests on to a registry, but whole blobs of some size only once `release` is called. */
async function holdingProxy(target: string): Promise<AsyncDisposable & { readonly host: string; release(): void }> {
  const released = Promise.withResolvers<void>();
  const server = createServer((incoming, outgoing) => {
    const { url = "/", method = "GET", headers } = incoming;
    const pass = (): void => {
      const onward = httpRequest(
        `http://${target}${url}`,
        { method, headers: { ...headers, host: target } },
        (reply) => {
          outgoing.writeHead(reply.statusCode ?? 502, reply.headers);
          if (Number(reply.headers["content-length"]) > 1_000_000 && !/-\d/.test(headers.range ?? ""))
            void released.promise.then(() => reply.pipe(outgoing));
          else reply.pipe(outgoing);
        },
      );
      onward.on("error", () => outgoing.destroy());
      outgoing.on("close", () => onward.destroy());
      onward.end();
    };
    pass();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`, // a TCP server's address
    release: released.resolve,
    async [Symbol.asyncDispose]() {
      released.resolve();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

const early = { annotations: { "lazy-start.tripod.dev": "true" } };

interface ImageInfo {
  readonly coming?: readonly LazyLayer[];
  readonly wholeBecause?: string;
}

async function infoOf(image: string): Promise<ImageInfo> {
  const { info } = await node.images.imageStatus({ image: { image }, verbose: true });
  return JSON.parse(info["info"] ?? "{}") as ImageInfo; // as the server writes it
}

/** Waits until no layer is served any more. */
async function nothingServed({ snapshotsDir }: Layout): Promise<void> {
  const dir = join(snapshotsDir, "lazy");
  const watcher = watch(dir);
  try {
    while (readdirSync(dir).length > 0) await once(watcher, "change");
  } finally {
    watcher.close();
  }
}

test("a container starts before its image is whole, runs on when the server is killed, and leaves nothing", {
  skip,
}, async () => {
  await using proxy = await holdingProxy(registry.host);
  const image = `${proxy.host}/app:1`;
  const sandboxConfig = node.sandboxConfig(early);
  await node.images.pullImage({ image: { image }, sandboxConfig });
  const [served] = (await infoOf(image)).coming ?? [];
  assert(served !== undefined && served.doneBytes < served.sizeBytes);
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: sandboxConfig });
  const run = { image: { image } };
  const containerId = await node.run(podSandboxId, "sha256sum /big; exec sleep 1000", run);
  const ids = [{ containerId: 0, hostId: 700_000, length: 65_536 }];
  const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids };
  const own = node.sandboxConfig({ linux: { securityContext: { namespaceOptions: { usernsOptions } } } });
  const { podSandboxId: ownId } = await node.runtime.runPodSandbox({ config: own });
  const owner = await node.run(ownId, "stat -c %u /big; sha256sum /big", run);
  await node.reached(owner, ContainerState.CONTAINER_EXITED);
  assert.deepEqual(await node.log(owner), ["stdout F 0", `stdout F ${bigSum}  /big`]);

  await node.kill();
  const rootfs = join(node.layout.containersDir, containerId, "rootfs");
  assert.deepEqual(await readFile(join(rootfs, "big")), big);
  await node.start();
  const { status } = await node.runtime.containerStatus({ containerId });
  assert.equal(status?.state, ContainerState.CONTAINER_RUNNING);
  assert.equal((await infoOf(image)).coming?.length, 1);
  const second = await node.run(podSandboxId, "sha256sum /big", run);
  await node.reached(second, ContainerState.CONTAINER_EXITED);
  assert.deepEqual(await node.log(second), [`stdout F ${bigSum}  /big`]);

  proxy.release();
  await nothingServed(node.layout);
  assert.deepEqual((await infoOf(image)).coming, []);
  const third = await node.run(podSandboxId, "sha256sum /big", run);
  await node.reached(third, ContainerState.CONTAINER_EXITED);
  assert.deepEqual(await node.log(third), [`stdout F ${bigSum}  /big`]);
  const exec = await node.runtime.execSync({ containerId, cmd: ["sha256sum", "/big"] });
  assert.equal(exec.stdout.toString(), `${bigSum}  /big\n`);

  const ended = waitForExit(Number(served.owner.split("-")[0]));
  for (const id of [podSandboxId, ownId]) await node.runtime.removePodSandbox({ podSandboxId: id });
  await node.images.removeImage({ image: { image } });
  await ended;
  assert.deepEqual(node.leaks(), []);
});

test("a Pod that does not ask for it gets a whole image, one whose image cannot is told why", { skip }, async () => {
  const image = `${registry.host}/app:1`;
  await node.images.pullImage({ image: { image }, sandboxConfig: node.sandboxConfig() });
  const plain = await infoOf(image);
  assert.deepEqual([plain.coming, plain.wholeBecause], [undefined, undefined]);
  await node.images.removeImage({ image: { image } });
  await node.images.removeImage({ image: { image: node.image } });
  await node.images.pullImage({ image: { image: node.image }, sandboxConfig: node.sandboxConfig(early) });
  assert.match((await infoOf(node.image)).wholeBecause ?? "", /no table of contents/);
});
