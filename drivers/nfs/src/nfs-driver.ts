import { defineDriver, type Driver } from "@tripod/csi";
import { Background } from "./background.ts";
import { nfsController } from "./nfs-controller.ts";
import { nfsNode } from "./nfs-node.ts";
import { Publications } from "./shares/publications.ts";
import { Shares } from "./shares/shares.ts";

export const nfsDriverName = "nfs.csi.tripod.dev";

export interface NfsDriverOptions {
  /** The folder under which shares are mounted, with a note of what is published where; made when absent. */
  readonly stateDir: string;
  /** This node's name, as the kubelet knows it. */
  readonly nodeId: string;
  /** How long a call waits for a copy; 20 s unless told. */
  readonly waitMs?: number;
}

export interface NfsDriver extends Disposable {
  readonly driver: Driver;
}

/** nfs.csi.tripod.dev: volumes are folders of NFS shares, for Pods of many nodes at a time. */
export async function openNfsDriver({ stateDir, nodeId, waitMs }: NfsDriverOptions): Promise<NfsDriver> {
  using owned = new DisposableStack();
  const shares = owned.use(new Shares(stateDir));
  const background = owned.use(new Background(waitMs === undefined ? {} : { waitMs }));
  await shares.recover();
  const driver = defineDriver({
    name: nfsDriverName,
    version: "0.1.0",
    features: { singleNodeMultiWriter: true, cloneVolume: true, expansion: "online" },
    controller: nfsController(shares, background),
    node: nfsNode(shares, new Publications(stateDir), nodeId),
  });
  const kept = owned.move();
  return { driver, [Symbol.dispose]: () => kept.dispose() };
}
