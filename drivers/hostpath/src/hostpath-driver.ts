import { defineDriver, type Driver } from "@tripod/csi";
import { hostpathController } from "./controller.ts";
import { hostpathNode } from "./node.ts";
import { driverName } from "./topology.ts";
import { HostpathState } from "./volume-records.ts";

export interface HostpathOptions {
  /** The folder under which volumes and records live; made when absent. */
  readonly stateDir: string;
  /** This node's name, as the kubelet knows it. */
  readonly nodeId: string;
  /** Volumes must be attached before use, so that the way of an attacher can be tried; false unless told. */
  readonly attach?: boolean;
}

/** The driver and what it holds open. */
export interface HostpathDriver extends Disposable {
  readonly driver: Driver;
}

/** hostpath.csi.tripod.dev: volumes are folders of this node. Finishes what a crash of an earlier run cut short. */
export async function openHostpathDriver(options: HostpathOptions): Promise<HostpathDriver> {
  const state = await HostpathState.open(options.stateDir);
  const common = { state, nodeId: options.nodeId, attach: options.attach === true };
  const driver = defineDriver({
    name: driverName,
    version: "0.1.0",
    features: { topology: true, singleNodeMultiWriter: true, listPublishedNodes: true },
    controller: hostpathController(common),
    node: hostpathNode(common),
  });
  return { driver, [Symbol.dispose]: () => state[Symbol.dispose]() };
}
