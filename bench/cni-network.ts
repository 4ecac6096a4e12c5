import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLogger } from "@tripod/base";
import { type CniPlugin, CniRuntime, type JsonObject, type JsonValue } from "@tripod/cni";
import { createNamespaces, nft, openRtnetlink, removeNamespace } from "@tripod/linux";

/** Whose plugins, and how they are reached: in this process, or as the executables of a folder. */
export interface CniPeer {
  readonly name: string;
  readonly plugins: ReadonlyMap<string, CniPlugin>;
  readonly binDir: string;
}

export interface CniNetworkOptions {
  readonly peer: CniPeer;
  /** A folder of its own; made when absent. */
  readonly folder: string;
  /** What stands in the conflist, given the folder for host-local's reservations. */
  readonly plugins: (dataDir: string) => readonly JsonObject[];
}

/** The part of the private networks in which the benchmark's Pods are. */
export const subnets = { tripod: "10.91.0.0/16", upstream: "10.92.0.0/16" } as const;

/** host-local as bridge's delegate, or as a plugin that stands alone. */
export const hostLocal = (dataDir: string, subnet: string): JsonObject => ({
  type: "host-local",
  dataDir,
  ranges: [[{ subnet }]],
  routes: [{ dst: "0.0.0.0/0" }],
});

export const bridge = (name: string, ipam: JsonObject): JsonObject => ({
  type: "bridge",
  bridge: name,
  isGateway: true,
  ipMasq: true,
  ipam,
});

export const portmap: JsonObject = { type: "portmap", capabilities: { portMappings: true } };

export const portMapping = (hostPort: number): Readonly<Record<string, JsonValue>> => ({
  portMappings: [{ hostPort, containerPort: 80, protocol: "tcp" }],
});

/** A CniRuntime with a network of its own. Speaks 1.0.0, which Debian's plugins know. */
export async function startCniNetwork({ peer, folder, plugins }: CniNetworkOptions): Promise<CniRuntime> {
  const confDir = join(folder, "net.d");
  mkdirSync(confDir, { recursive: true });
  writeFileSync(
    join(confDir, "10-bench.conflist"),
    JSON.stringify({ cniVersion: "1.0.0", name: "bench", plugins: plugins(join(folder, "networks")) }),
  );
  const runtime = new CniRuntime({
    confDir,
    binDirs: [peer.binDir],
    cacheDir: join(folder, "cache"),
    plugins: peer.plugins,
    log: silentLogger,
  });
  await runtime.load();
  return runtime;
}

/** A Pod's network namespace, pinned in the benchmark's folder: nothing is left where that goes away. */
export class BenchNetns implements Disposable {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    createNamespaces({ net: path });
  }

  [Symbol.dispose](): void {
    removeNamespace(this.path);
  }
}

/** Takes away what plugins leave on the host for the next Pod, so that the next peer finds it as the first did. */
export function clearHost(...bridges: readonly string[]): void {
  nft("flush ruleset");
  using host = openRtnetlink();
  for (const name of bridges) host.linkDelete(name);
}
