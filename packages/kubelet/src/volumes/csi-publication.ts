import type { Pod } from "@tripod/api/kubernetes";
import type { KeyedMutex, Logger } from "@tripod/base";
import type { CsiDrivers } from "./csi-drivers.ts";
import type { CsiVolume } from "./csi-spec.ts";
import type { VolumeEvents } from "./volume-events.ts";
import type { VolumeObjects } from "./volume-objects.ts";

/** A CSI volume as it stands ready for a Pod. */
export interface CsiPublication {
  readonly pod: Pod;
  /** Its name in the Pod. */
  readonly volumeName: string;
  readonly volume: CsiVolume;
  readonly targetPath: string;
  /** "" where the driver does not stage. */
  readonly stagingPath: string;
  /** The driver wants to be asked again from time to time, for what it was told grows old. */
  readonly republish: boolean;
  readonly publishedAtMs: number;
}

/** What everything has in common that deals with CSI volumes on this node. */
export interface CsiContext {
  readonly kubeletDir: string;
  readonly nodeName: string;
  readonly drivers: CsiDrivers;
  readonly objects: VolumeObjects;
  readonly events: VolumeEvents;
  /** Held by volume while it is staged, published, grown or taken down: the last one to leave must not meet the next one to come. */
  readonly locks: KeyedMutex;
  /** Told when an attacher says that this node takes no more volumes of a driver. */
  readonly limitReached: (driver: string, signal: AbortSignal) => Promise<void>;
  /** How long a driver has for one call. */
  readonly callTimeoutMs: number;
  readonly log: Logger;
}

/** A volume among all those of this node. */
export const volumeKey = ({ driver, handle }: Pick<CsiVolume, "driver" | "handle">): string => `${driver}^${handle}`;
