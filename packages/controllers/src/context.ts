import type { Logger } from "@tripod/base";
import type { EventRecorder, KubeClient } from "@tripod/kube";
import type { CsiDrivers } from "./csi/csi-drivers.ts";
import type { ServingDrivers } from "./migration/serving-drivers.ts";
import type { VolumePool } from "./volumes/volume-pool.ts";
import type { World } from "./world.ts";

/** What every controller is given. */
export interface ControllerContext {
  readonly client: KubeClient;
  readonly world: World;
  /** The world's volumes, by what claims ask for. */
  readonly pool: VolumePool;
  readonly csi: CsiDrivers;
  readonly serving: ServingDrivers;
  readonly log: Logger;
  /** The recorder that reports as `component`. */
  recorder(component: string): EventRecorder;
}
