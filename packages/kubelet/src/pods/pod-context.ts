import type { Pod, RuntimeClass, Secret } from "@tripod/api/kubernetes";
import type { Layout, Logger } from "@tripod/base";
import type { PodCgroups } from "../containers/pod-cgroups.ts";
import type { MachineMemory } from "../containers/linux-resources.ts";
import type { ClusterDns } from "../containers/dns-config.ts";
import type { CriClient } from "../cri/cri-client.ts";
import type { ImageManager } from "../images/image-manager.ts";
import type { PodEvents } from "../objects/pod-events.ts";
import type { VolumeManager } from "../volumes/volume-manager.ts";
import type { VolumeObjects } from "../volumes/volume-objects.ts";
import type { StatusWriter } from "./status-writer.ts";
import type { UserNamespaces } from "./user-namespaces.ts";

/** What the worker of a Pod needs of the API server. */
export interface PodObjects extends VolumeObjects {
  runtimeClass(name: string): Promise<RuntimeClass | undefined>;
  pullSecrets(pod: Pod): Promise<Secret[]>;
  /** The variables that tell a Pod where the services are. */
  serviceVariables(pod: Pod): Promise<ReadonlyMap<string, string>>;
  /** Follows the ConfigMaps and Secrets of a Pod, its claims and their volumes; the callbacks are told when one of them changes. */
  follow(pod: Pod, onConfig: () => void, onClaim: () => void): void;
  unfollow(podUid: string): void;
  /** Takes a Pod that is over out of the API, if it still is the very one. */
  removePod(pod: Pod): Promise<void>;
}

/** What all Pods of a node have in common. */
export interface PodContext {
  readonly layout: Layout;
  readonly nodeName: string;
  readonly hostIps: readonly string[];
  /** As in `name://container-id`. */
  readonly runtimeName: () => string;
  readonly cri: CriClient;
  readonly cgroups: () => Promise<PodCgroups>;
  readonly images: ImageManager;
  readonly volumes: VolumeManager;
  readonly userNamespaces: UserNamespaces;
  readonly objects: PodObjects;
  readonly statuses: StatusWriter;
  readonly events: PodEvents;
  readonly allocatable: Readonly<Record<string, string>>;
  readonly machine: MachineMemory;
  readonly clusterDns: ClusterDns;
  readonly log: Logger;
}
