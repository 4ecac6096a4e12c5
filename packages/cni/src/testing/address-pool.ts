import { existsSync, readdirSync } from "node:fs";
import { TemporaryFolder } from "@tripod/linux/testing";
import type { JsonObject } from "../json.ts";

/** A folder of reservations for host-local, and the `ipam` part of configurations that use it: 10.88.0.0/24 and fd88::/64 from .10 on. */
export class AddressPool implements Disposable {
  readonly #folder = new TemporaryFolder("cni-pool");

  /** `part`: pools apart from one another, for what is to be given the same addresses. */
  ipam(part = "pool"): JsonObject {
    return {
      type: "host-local",
      dataDir: this.#folder.join(part),
      ranges: [
        [{ subnet: "10.88.0.0/24", rangeStart: "10.88.0.10" }],
        [{ subnet: "fd88::/64", rangeStart: "fd88::10" }],
      ],
    };
  }

  /** What is given out at the moment, of the network. */
  reserved(network: string, part = "pool"): readonly string[] {
    const dir = this.#folder.join(part, network);
    return existsSync(dir) ? readdirSync(dir).filter((name) => /^(10\.|fd88:)/.test(name)) : [];
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}
