import { isTripodError, KeyedMutex, type Logger } from "@tripod/base";
import type { CniPlugin } from "@tripod/cni/sdk";
import { defaultPatience } from "./daemon-options.ts";
import { dhcpPlugin } from "./dhcp.ts";
import { LeaseServer } from "./lease-server.ts";

/** The plugin for a process that lives on: it is the daemon of every socket on which nobody listens when it is first asked there. */
export class HostedDhcp implements AsyncDisposable {
  readonly plugin: CniPlugin;
  readonly #log: Logger;
  readonly #servers = new Map<string, LeaseServer>();
  readonly #oneByOne = new KeyedMutex();

  constructor(log: Logger) {
    this.#log = log;
    this.plugin = dhcpPlugin((socketPath) => this.#oneByOne.run(socketPath, () => this.#serve(socketPath)));
  }

  async #serve(socketPath: string): Promise<void> {
    if (this.#servers.has(socketPath)) return;
    try {
      const options = { socketPath, log: this.#log, patience: defaultPatience, broadcast: false, hostPrefix: "" };
      this.#servers.set(socketPath, await LeaseServer.start(options));
    } catch (error) {
      if (!isTripodError(error, "already-exists")) throw error; // another daemon is asked
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers.values()) await server[Symbol.asyncDispose]();
  }
}
