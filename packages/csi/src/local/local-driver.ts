import type { Driver, DriverFeatures } from "../driver.ts";
import { defineDriver } from "../driver.ts";
import { localController } from "./local-controller.ts";
import type { LocalContext } from "./local-context.ts";
import { localGroups } from "./local-groups.ts";
import { localMetadata } from "./local-metadata.ts";
import { localNode } from "./local-node.ts";
import { LocalRecords } from "./local-records.ts";
import { localTopology } from "./local-topology.ts";
import type { VolumeStorage } from "./volume-storage.ts";

export interface LocalDriverOptions {
  readonly name: string;
  readonly version: string;
  /** The folder under which records and storage live; made when absent. */
  readonly stateDir: string;
  /** This node's name, as the kubelet knows it. */
  readonly nodeId: string;
  readonly storage: VolumeStorage;
  /** Volumes must be attached before use, so that the way of an attacher can be tried; false unless told. */
  readonly attach?: boolean;
  /** 0, no limit, unless told. */
  readonly maxVolumesPerNode?: number;
}

/** A driver and what it holds open. */
export interface LocalDriver extends Disposable {
  readonly driver: Driver;
}

/**
 * A CSI driver whose volumes lie on this node: all the calls of the specification over a VolumeStorage, with records, idempotency and the ends of
 * what a crash of an earlier run cut short.
 */
export async function openLocalDriver(options: LocalDriverOptions): Promise<LocalDriver> {
  const { name, version, stateDir, nodeId, storage, attach = false } = options;
  const records = new LocalRecords(stateDir);
  try {
    await storage.recover(records.storageIds());
    await records.finishDeletions(storage);
  } catch (error) {
    records[Symbol.dispose]();
    throw error;
  }
  const context: LocalContext = { driverName: name, records, storage, topology: localTopology(name, nodeId), attach };
  const features: DriverFeatures = {
    topology: true,
    snapshotTopology: true,
    singleNodeMultiWriter: true,
    listPublishedNodes: true,
    cloneVolume: true,
    expansion: "online",
  };
  const driver = defineDriver({
    name,
    version,
    features,
    controller: localController(context),
    groupController: localGroups(context),
    ...(storage.ranges === undefined ? {} : { snapshotMetadata: localMetadata(context, storage.ranges.bind(storage)) }),
    node: localNode(context, options.maxVolumesPerNode),
  });
  return { driver, [Symbol.dispose]: () => records[Symbol.dispose]() };
}
