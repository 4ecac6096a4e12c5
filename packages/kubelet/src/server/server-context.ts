import type { Pod } from "@tripod/api/kubernetes";
import type { Logger } from "@tripod/base";
import type { CriClient } from "../cri/cri-client.ts";
import type { VolumeStats } from "../volumes/volume-stats.ts";

/** What the kubelet's HTTPS endpoint serves from. */
export interface ServerContext {
  readonly cri: CriClient;
  readonly nodeName: string;
  readonly kubeletDir: string;
  readonly podLogsDir: string;
  readonly startedAtMs: number;
  readonly volumeStats: Pick<VolumeStats, "latest">;
  readonly pods: () => readonly Pod[];
  readonly findPod: (namespace: string, name: string) => Pod | undefined;
  /** Calls back when something of the Pod changes in the runtime, until the returned function is called. */
  readonly onPodChange: (uid: string, listener: () => void) => () => void;
  readonly log: Logger;
}
