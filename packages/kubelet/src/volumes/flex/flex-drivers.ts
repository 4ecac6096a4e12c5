import { statSync } from "node:fs";
import { flexCallOk } from "./flex-call.ts";
import { type FlexDriverName, programOf } from "./flex-paths.ts";

/** What a driver's `init` says of it. */
export interface FlexDriver {
  readonly program: string;
  /** It attaches volumes to nodes, and mounts their devices once a node. */
  readonly attach: boolean;
  /** The kubelet gives volumes to the Pod's fsGroup. */
  readonly fsGroup: boolean;
}

/** The FlexVolume drivers of this node: programs in folders, asked what they can do when they are new or have changed. */
export class FlexDrivers {
  readonly #dir: string;
  /** By program, with what tells a program from the one before. */
  readonly #known = new Map<string, { readonly stamp: string; readonly driver: FlexDriver }>();

  constructor(driversDir: string) {
    this.#dir = driversDir;
  }

  async get(name: FlexDriverName, signal?: AbortSignal): Promise<FlexDriver> {
    const program = programOf(this.#dir, name);
    const found = statSync(program, { throwIfNoEntry: false, bigint: true });
    const stamp = found === undefined ? "" : `${found.ino} ${found.mtimeNs}`;
    const known = this.#known.get(program);
    if (known?.stamp === stamp) return known.driver;
    const capabilities = (await flexCallOk(program, ["init"], signal))?.capabilities ?? {};
    const driver = { program, attach: capabilities.attach !== false, fsGroup: capabilities.fsGroup !== false };
    this.#known.set(program, { stamp, driver });
    return driver;
  }
}
