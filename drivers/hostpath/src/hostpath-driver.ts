import { type LocalDriver, localTopology, openLocalDriver } from "@tripod/csi/local";
import { FolderStorage } from "./folder-storage.ts";

export const hostpathDriverName = "hostpath.csi.tripod.dev";
/** The topology key: a volume is a folder of one node. */
export const hostpathTopologyKey = localTopology(hostpathDriverName, "").key;

export interface HostpathOptions {
  /** The folder under which volumes and records live; made when absent. */
  readonly stateDir: string;
  /** This node's name, as the kubelet knows it. */
  readonly nodeId: string;
  /** Volumes must be attached before use, so that the way of an attacher can be tried; false unless told. */
  readonly attach?: boolean;
}

/** hostpath.csi.tripod.dev: volumes are folders of this node. Finishes what a crash of an earlier run cut short. */
export const openHostpathDriver = (options: HostpathOptions): Promise<LocalDriver> =>
  openLocalDriver({
    name: hostpathDriverName,
    version: "0.1.0",
    storage: new FolderStorage(options.stateDir),
    ...options,
  });
