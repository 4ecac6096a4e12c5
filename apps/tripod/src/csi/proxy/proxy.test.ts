import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { BlockMetadataType, VolumeCapability_AccessMode_Mode as Mode } from "@tripod/api/csi";
import { isTripodError, silentLogger, TripodError } from "@tripod/base";
import { connectDriver, type CsiDriverClient, defineDriver, serveDriver, watchPlugins } from "@tripod/csi";
import { TemporaryFolder } from "@tripod/linux/testing";
import type { RecordedCall } from "./describe-call.ts";
import { GrpcRelay } from "./grpc-relay.ts";

const capability = { accessType: { case: "mount" as const, value: {} }, accessMode: { mode: Mode.SINGLE_NODE_WRITER } };
const long = "x".repeat(3000);

/** A driver whose calls show what came through. */
const driver = defineDriver({
  name: "behind.example.com",
  version: "1",
  controller: {
    createVolume: async ({ name, secrets }) => ({
      volume: { volumeId: `${name}-${secrets.password}`, capacityBytes: 1n },
    }),
    deleteVolume: async ({ volumeId }, { signal }) => {
      if (volumeId === "slow") await once(signal, "abort");
      throw new TripodError("not-found", `volume ${volumeId}: é is not here`);
    },
    listVolumes: async () => ({
      entries: Array.from({ length: 2000 }, (_, index) => ({
        volume: { volumeId: `v${index}`, volumeContext: { long } },
      })),
    }),
    validateVolumeCapabilities: async () => ({}),
  },
  snapshotMetadata: {
    async *getMetadataAllocated() {
      for (let index = 0n; index < 3n; index += 1n)
        yield {
          blockMetadataType: BlockMetadataType.VARIABLE_LENGTH,
          blockMetadata: [{ byteOffset: index, sizeBytes: 1n }],
        };
    },
  },
});

describe("tripod csi proxy", () => {
  const stack = new AsyncDisposableStack();
  const calls: RecordedCall[] = [];
  let folder: TemporaryFolder;
  let client: CsiDriverClient;
  let child: ReturnType<typeof spawn>;
  let changed = Promise.withResolvers<void>();

  before(async () => {
    folder = stack.use(new TemporaryFolder("csi-proxy"));
    stack.use(await serveDriver({ endpoint: folder.join("csi.sock"), driver }));
    const args = [
      "csi",
      "proxy",
      "--json",
      `--listen=${folder.join("proxy.sock")}`,
      `--endpoint=${folder.join("csi.sock")}`,
    ];
    const more = [`--record=${folder.join("calls.jsonl")}`, `--registration-dir=${folder.join("reg")}`];
    child = spawn(process.execPath, [join(import.meta.dirname, "../../main.ts"), ...args, ...more], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    assert.ok(child.stderr !== null && child.stdout !== null);
    createInterface({ input: child.stdout }).on("line", (line) => {
      calls.push(JSON.parse(line) as RecordedCall);
      changed.resolve();
      changed = Promise.withResolvers();
    });
    for await (const line of createInterface({ input: child.stderr })) if (line.includes("stands before")) break;
    client = stack.use(connectDriver(folder.join("proxy.sock"), { timeoutMs: 20_000 }));
  });
  after(async () => {
    child.kill("SIGKILL");
    await stack.disposeAsync();
  });

  /** The last call of a method, once it is there. */
  async function recorded(method: string): Promise<RecordedCall> {
    for (;;) {
      const found = calls.findLast((call) => call.method === method);
      if (found !== undefined) return found;
      await changed.promise;
    }
  }

  test("a call goes through with its secrets, which are shown nowhere", async () => {
    const request = { name: "v", volumeCapabilities: [capability], secrets: { password: "hunter2" } };
    assert.equal((await client.controller.createVolume(request)).volume?.volumeId, "v-hunter2");
    const call = await recorded("Controller/CreateVolume");
    assert.deepEqual([call.status, call.error], ["OK", undefined]);
    assert.deepEqual((call.request as { secrets: unknown }).secrets, "[redacted]");
    assert.equal((call.request as { name: string }).name, "v");
    assert.ok(call.reply);
    assert.match(readFileSync(folder.join("calls.jsonl"), "utf8"), /"method":"Controller\/CreateVolume"/);
  });

  test("a failure goes through with its code and words", async () => {
    const failing = client.controller.deleteVolume({ volumeId: "none" });
    await assert.rejects(failing, (error) => isTripodError(error, "not-found") && /é is not here/.test(error.message));
    const { status, error } = await recorded("Controller/DeleteVolume");
    assert.deepEqual([status, error], ["NOT_FOUND", "volume none: é is not here"]);
  });

  test("a stream goes through message by message, and one of 6 MB is passed on and not kept", async () => {
    const offsets: bigint[] = [];
    for await (const { blockMetadata } of client.snapshotMetadata.getMetadataAllocated({ snapshotId: "s" }))
      offsets.push(blockMetadata[0]?.byteOffset ?? -1n);
    assert.deepEqual(offsets, [0n, 1n, 2n]);
    assert.equal(((await recorded("SnapshotMetadata/GetMetadataAllocated")).reply as unknown[]).length, 3);
    assert.equal((await client.controller.listVolumes({})).entries.length, 2000);
    assert.match(String((await recorded("Controller/ListVolumes")).reply), /^6\d+ bytes$/);
  });

  test("a method that the driver lacks is UNIMPLEMENTED, and a caller that goes away cancels its call", async () => {
    await assert.rejects(client.node.nodeGetInfo({}), (error) => isTripodError(error, "unimplemented"));
    assert.equal((await recorded("Node/NodeGetInfo")).status, "UNIMPLEMENTED");
    const before = calls.length;
    const slow = client.controller.deleteVolume({ volumeId: "slow" }, { timeoutMs: 200 });
    await assert.rejects(slow, (error) => isTripodError(error, "timeout"));
    while (calls.length === before) await changed.promise;
    assert.match(calls.at(-1)?.status ?? "", /CANCELLED|DEADLINE_EXCEEDED/);
  });

  test("a driver that is away is told as such, in words that arrive whole", async () => {
    const [listen, target] = [folder.join("alone.sock"), folder.join("away.sock")];
    const seen = Promise.withResolvers<string>();
    await using relay = new GrpcRelay({ listen, target, onCall: ({ message }) => seen.resolve(message) });
    await relay.start();
    using alone = connectDriver(listen, { timeoutMs: 20_000 });
    const says = `proxy to ${target}: connect ENOENT ${target}; does the driver run there?`;
    await assert.rejects(
      alone.identity.probe({}),
      (error) => isTripodError(error, "unavailable") && error.message === says,
    );
    assert.equal(await seen.promise, says);
  });

  test("a kubelet that follows the plugin folder is sent to the proxy", async () => {
    const found = Promise.withResolvers<string>();
    await using _watcher = watchPlugins(folder.join("reg"), {
      registered: async ({ name, endpoint }) => found.resolve(`${name} ${endpoint}`),
      log: silentLogger,
    });
    assert.equal(await found.promise, `behind.example.com ${folder.join("proxy.sock")}`);
  });

  test("SIGTERM ends it in order, with no socket left", async () => {
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    assert.deepEqual(await ended, [0, null]);
    assert.equal(existsSync(folder.join("proxy.sock")), false);
    assert.deepEqual(readdirSync(folder.join("reg")), []);
  });
});
