import type { Logger } from "@tripod/base";
import { type JsonObject, parseResult } from "@tripod/cni";
import { callerOf } from "@tripod/cni/testing";
import { TemporaryFolder } from "@tripod/linux/testing";
import { existsSync, readdirSync } from "node:fs";
import { dhcp } from "../dhcp.ts";
import { LeaseServer } from "../lease-server.ts";

/** Short, for tests in which no server answers. */
export const testPatience = { totalMs: 2500, answerMs: 1500, resendMs: 1000 };

/** What a daemon says, for tests that wait for it. */
export class HeardLogger implements Logger {
  readonly #waiting = new Map<string, () => void>();

  #say = (_fields: object, message: string): void => this.#waiting.get(message)?.();
  debug = this.#say;
  info = this.#say;
  warn = this.#say;
  error = this.#say;
  child = (): Logger => this;

  /** Resolves when the message is said next. */
  says(message: string): Promise<void> {
    return new Promise((resolve) => this.#waiting.set(message, resolve));
  }
}

/** A folder for a daemon's socket and records, and calls of the plugin that use it. */
export class DaemonPlace implements Disposable {
  readonly folder = new TemporaryFolder("dhcpd");
  readonly socketPath = this.folder.join("dhcp.sock");
  readonly ipam = { type: "dhcp", daemonSocketPath: this.socketPath };
  readonly call = callerOf({ plugin: dhcp, network: "lan", config: { ipam: this.ipam } });
  readonly log = new HeardLogger();

  /** The daemon in this process. */
  serve(): Promise<LeaseServer> {
    const { socketPath, log } = this;
    return LeaseServer.start({ socketPath, log, patience: testPatience, broadcast: false, hostPrefix: "" });
  }

  /** How many leases it keeps a record of. */
  recorded(): number {
    const dir = `${this.socketPath}.leases`;
    return existsSync(dir) ? readdirSync(dir).length : 0;
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }
}

/** The address of a result, without its prefix. */
export const addressIn = (result: JsonObject): string =>
  parseResult(result, "1.1.0").ips[0]?.address.replace(/\/.*/, "") ?? "";
