import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Layout } from "@tripod/base";
import { csiDrivers, csiNodes, type KubeClient, nodes, waitFor } from "@tripod/kube";
import { startNfsServer } from "@tripod/testing";

const name = "nfs.csi.tripod.dev";

/** Where shares are, for a StorageClass; disposed of, server and driver are gone. */
export interface NfsForBench extends AsyncDisposable {
  readonly parameters: Readonly<Record<string, string>>;
}

/** Starts an NFS server and, on the only node of a cluster, the driver for it. */
export async function startNfs(client: KubeClient, layout: Layout, tripod: string): Promise<NfsForBench> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startNfsServer());
  const [node] = (await client.resource(nodes).list()).items;
  const nodeName = node?.metadata.name ?? "";
  const pluginDir = join(layout.kubeletDir, "plugins", name);
  const state = join(layout.csiStateDir, name);
  for (const dir of [pluginDir, state]) mkdirSync(dir, { recursive: true });
  await client.resource(csiDrivers).create({ metadata: { name }, spec: { attachRequired: false } });
  const driver = spawn(
    tripod,
    [
      "csi",
      "serve",
      "nfs",
      `--endpoint=unix://${join(pluginDir, "csi.sock")}`,
      `--node-id=${nodeName}`,
      `--state=${state}`,
      `--registration-dir=${layout.pluginsRegistryDir}`,
      "--exit-with-parent",
    ],
    { stdio: ["pipe", "ignore", "inherit"] },
  );
  stack.defer(async () => {
    const ended = once(driver, "exit");
    driver.stdin.end();
    await ended;
  });
  await waitFor(
    client.resource(csiNodes),
    nodeName,
    (found) => found?.spec.drivers.some((each) => each.name === name) === true,
    { timeoutMs: 30_000 },
  );
  const kept = stack.move();
  return {
    parameters: { server: server.server, share: server.share },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
