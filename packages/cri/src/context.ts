import type { KeyedMutex, Layout, Logger, TaskOwner } from "@tripod/base";
import type { CniRuntime } from "@tripod/cni";
import type { CdiDevices, CgroupAbilities, Images } from "@tripod/oci";
import type { ExitWatch } from "./container/exit-watch.ts";
import type { CriConfig } from "./cri-config.ts";
import type { ContainerEvents } from "./events.ts";
import type { LiveConfig } from "./live-config.ts";
import type { Nri } from "./nri/nri.ts";
import type { ContainerRecord } from "./records/container-record.ts";
import type { JoinedWork } from "./records/joined-work.ts";
import type { ResourceStore } from "./records/resource-store.ts";
import type { SandboxRecord } from "./records/sandbox-record.ts";
import type { CgroupDriverName } from "./runtime/cgroup-driver.ts";
import type { Handler } from "./runtime/handler.ts";
import type { WritableUsages } from "./stats/writable-usage.ts";

/** What the RPCs of one server share. */
export interface CriContext {
  readonly layout: Layout;
  readonly log: Logger;
  /** What `config` and `handlers` come from. */
  readonly live: LiveConfig;
  /** The one in force at this moment. */
  readonly config: CriConfig;
  readonly images: Images;
  readonly cni: CniRuntime;
  /** By name; "" is the default one. */
  readonly handlers: ReadonlyMap<string, Handler>;
  readonly cgroup: CgroupAbilities;
  readonly cgroupDriver: CgroupDriverName;
  readonly cdi: CdiDevices;
  readonly nri: Nri;
  readonly sandboxes: ResourceStore<SandboxRecord>;
  readonly containers: ResourceStore<ContainerRecord>;
  readonly events: ContainerEvents;
  readonly exits: ExitWatch;
  readonly writableUsages: WritableUsages;
  /** Changes of one sandbox, or of one container, happen one after another; never ask for a sandbox's while holding a container's. */
  readonly locks: KeyedMutex;
  readonly sandboxCreations: JoinedWork<SandboxRecord>;
  readonly containerCreations: JoinedWork<ContainerRecord>;
  /** Creations under way by sandbox id: whoever stops the sandbox waits for them. */
  readonly creationsInSandbox: Map<string, Set<Promise<unknown>>>;
  readonly tasks: TaskOwner;
}

/** Where a container's record says that it is kept. */
export const bundleOf = (context: Pick<CriContext, "layout">, id: string): string =>
  `${context.layout.containersDir}/${id}`;

/** Where the volumes are that a container's image declares. */
export const imageVolumesOf = (context: Pick<CriContext, "layout">, id: string): string =>
  `${context.layout.libDir}/container-volumes/${id}`;

/** Where the checkpoint is that a container is to be restored from. */
export const checkpointFolderOf = (context: Pick<CriContext, "layout">, id: string): string =>
  `${context.layout.libDir}/restored-checkpoints/${id}`;
