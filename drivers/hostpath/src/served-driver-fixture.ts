import assert from "node:assert/strict";
import { join } from "node:path";
import { VolumeCapability_AccessMode_Mode as Mode } from "@tripod/api/csi";
import { connectDriver, type CsiDriverClient, serveDriver } from "@tripod/csi";
import { QuotaDisk, quotaFileSystems, TemporaryFolder } from "@tripod/linux/testing";
import { openHostpathDriver } from "./hostpath-driver.ts";

export const capability = (mode: Mode = Mode.SINGLE_NODE_WRITER, mountFlags: string[] = []) => ({
  accessType: { case: "mount" as const, value: { mountFlags } },
  accessMode: { mode },
});

export interface ServedDriver extends AsyncDisposable {
  readonly client: CsiDriverClient;
  readonly folder: TemporaryFolder;
  readonly endpoint: string;
  readonly stateDir: string;
}

/** "ext4" or "xfs": tests run on a disk of that kind with project quotas. */
const diskType = quotaFileSystems.find((type) => type === process.env["TRIPOD_TEST_HOSTPATH_DISK"]);

/** A served driver with a client, in a folder of its own; its state elsewhere when `disk` says so. */
export async function served(options: { attach?: boolean; disk?: string } = {}): Promise<ServedDriver> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(new TemporaryFolder("hostpath"));
  const disk = options.disk ?? (diskType === undefined ? folder : stack.use(new QuotaDisk(diskType))).path;
  const stateDir = join(disk, "state");
  const opened = stack.use(await openHostpathDriver({ stateDir, nodeId: "node-a", attach: options.attach ?? false }));
  const endpoint = folder.join("csi.sock");
  stack.use(await serveDriver({ endpoint, driver: opened.driver }));
  const client = stack.use(connectDriver(endpoint, { timeoutMs: 20_000 }));
  const kept = stack.move();
  return { client, folder, endpoint, stateDir, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

export async function newVolume(client: CsiDriverClient, name = "v"): Promise<string> {
  const { volume } = await client.controller.createVolume({ name, volumeCapabilities: [capability()] });
  assert.ok(volume !== undefined);
  return volume.volumeId;
}
