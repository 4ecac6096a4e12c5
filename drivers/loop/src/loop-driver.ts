import { type LocalDriver, localTopology, openLocalDriver } from "@tripod/csi/local";
import { ImageStorage } from "./image-storage.ts";

export const loopDriverName = "loop.csi.tripod.dev";
/** The topology key: a volume is a file of one node. */
export const loopTopologyKey = localTopology(loopDriverName, "").key;

export interface LoopOptions {
  /** The folder under which volumes and records live; made when absent. */
  readonly stateDir: string;
  /** This node's name, as the kubelet knows it. */
  readonly nodeId: string;
  /** Volumes must be attached before use, so that the way of an attacher can be tried; false unless told. */
  readonly attach?: boolean;
}

/** loop.csi.tripod.dev: volumes are sparse files with a file system on a loop device. Finishes what a crash of an earlier run cut short. */
export const openLoopDriver = (options: LoopOptions): Promise<LocalDriver> =>
  openLocalDriver({
    name: loopDriverName,
    version: "0.1.0",
    storage: new ImageStorage(options.stateDir),
    ...options,
  });
