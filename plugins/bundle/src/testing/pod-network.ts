import { mkdirSync, writeFileSync } from "node:fs";
import type { AddressInfo, Server } from "node:net";
import { createServer } from "node:http";
import { silentLogger } from "@tripod/base";
import { CniRuntime, type CniRuntimeOptions, defaultConflist, type JsonObject } from "@tripod/cni";
import { inNetns, openRtnetlink } from "@tripod/linux";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";
import { ownPlugins } from "../plugins.ts";

const podSubnet = "10.77.0.0/24";

/** A configuration folder, a cache and a runtime of their own, for tests that run on a fresh host. */
export class PodNetwork implements AsyncDisposable {
  readonly folder = new TemporaryFolder("cni");
  readonly runtime: CniRuntime;
  readonly dataDir: string;

  private constructor(options: Partial<CniRuntimeOptions>) {
    this.dataDir = this.folder.join("networks");
    this.runtime = new CniRuntime({
      confDir: this.folder.join("net.d"),
      binDirs: [this.folder.join("bin")],
      cacheDir: this.folder.join("cache"),
      plugins: ownPlugins,
      log: silentLogger,
      ...options,
    });
  }

  static async start(
    conflist?: (dataDir: string) => JsonObject,
    options: Partial<CniRuntimeOptions> = {},
  ): Promise<PodNetwork> {
    const network = new PodNetwork(options);
    const { dataDir } = network;
    mkdirSync(network.folder.join("net.d"));
    network.configure(
      (conflist ?? ((dir) => defaultConflist({ bridge: "br-test", subnet: [podSubnet, "fd77::/64"], dataDir: dir })))(
        dataDir,
      ),
    );
    await network.runtime.load();
    return network;
  }

  configure(conflist: JsonObject): void {
    writeFileSync(this.folder.join("net.d", "10-test.conflist"), JSON.stringify(conflist));
  }

  /** Takes the bridge away too, for the next test on the same host. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.runtime[Symbol.asyncDispose]();
    using host = openRtnetlink();
    host.linkDelete("br-test");
    this.folder[Symbol.dispose]();
  }
}

/** A web server inside a network namespace that answers with its text and the client's address. */
export async function serveInNetns(
  netns: string,
  text: string,
  port = 0,
): Promise<{ readonly port: number } & AsyncDisposable> {
  const server: Server = createServer((request, response) => {
    response.end(`${text} ${request.socket.remoteAddress?.replace("::ffff:", "") ?? ""}`);
  });
  // Without a host to look up, listen() makes its socket at once, inside.
  inNetns(netns, () => server.listen(port));
  await new Promise<void>((resolve) => {
    if (server.listening) resolve();
    else server.once("listening", resolve);
  });
  const { port: chosen } = server.address() as AddressInfo; // a TCP server's address is never a path
  return {
    port: chosen,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A machine beside the host: a namespace with a cable of its own to it, and no route to the Pods. */
export function connectOutside(): Disposable & { readonly path: string } {
  const outside = new FreshNetns();
  using host = openRtnetlink();
  using there = openRtnetlink({ netns: outside.path });
  host.linkAdd({ kind: "veth", name: "cable", up: true, peer: { name: "cable", netns: outside.path, up: true } });
  host.addressAdd({ index: host.linkByName("cable").index, address: "192.168.50.1/24" });
  there.addressAdd({ index: there.linkByName("cable").index, address: "192.168.50.2/24" });
  return {
    path: outside.path,
    [Symbol.dispose]() {
      // The kernel takes it away with the namespace, but later: the next test wants a cable of this name.
      using end = openRtnetlink();
      end.linkDelete("cable");
      outside[Symbol.dispose]();
    },
  };
}
