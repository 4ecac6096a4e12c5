import type { Logger } from "@tripod/base";
import { EventRecorder, events, KubeClient } from "@tripod/kube";
import { AttachmentController, type AttachmentOptions } from "./attacher/attachment-controller.ts";
import { AttachedVolumes } from "./attacher/attached-volumes.ts";
import { CsiAttacher } from "./attacher/csi-attacher.ts";
import { PublishedCheck, type PublishedCheckOptions } from "./attacher/published-check.ts";
import { CapacityController, type CapacityOptions } from "./capacity/capacity-controller.ts";
import type { ControllerContext } from "./context.ts";
import { CsiDrivers } from "./csi/csi-drivers.ts";
import { VolumeHealthMonitor, type VolumeHealthOptions } from "./health/volume-health.ts";
import { VolumeModifier } from "./modifier/modifier.ts";
import { ServingDrivers, type StandIns } from "./migration/serving-drivers.ts";
import { EphemeralClaims } from "./ephemeral/ephemeral-claims.ts";
import { NamespaceController } from "./namespaces/namespace-controller.ts";
import { NodeLifecycle, type NodeLifecycleOptions } from "./node-lifecycle/node-lifecycle.ts";
import { PodGc, type PodGcOptions } from "./pod-gc/pod-gc.ts";
import { AttributesProtection } from "./protection/attributes-protection.ts";
import { SourceProtection } from "./protection/source-protection.ts";
import { StorageProtection } from "./protection/storage-protection.ts";
import { DataSourceValidator } from "./provisioner/data-source-validator.ts";
import { Provisioner } from "./provisioner/provisioner.ts";
import { VolumeDeletion } from "./provisioner/volume-deletion.ts";
import { Resizer } from "./resizer/resizer.ts";
import { Scheduler } from "./scheduler/scheduler.ts";
import { DefaultObjects } from "./service-accounts/default-objects.ts";
import { VolumeBinder } from "./volumes/binder.ts";
import { VolumePool } from "./volumes/volume-pool.ts";
import { ContentController } from "./snapshots/content-controller.ts";
import { SnapshotController } from "./snapshots/snapshot-controller.ts";
import { GroupSnapshotController } from "./snapshots/group-controller.ts";
import { groupContents } from "./snapshots/group-contents.ts";
import { singleContents } from "./snapshots/single-contents.ts";
import { openWorld } from "./world.ts";

export interface ControllersOptions {
  /** How to reach the API server, as an identity that may do everything the controllers do. */
  readonly kubeconfig: string;
  /** The kubelet's plugins_registry, in which CSI drivers of this machine register. */
  readonly pluginsRegistryDir: string;
  readonly log: Logger;
  readonly nodeLifecycle?: NodeLifecycleOptions;
  readonly podGc?: PodGcOptions;
  readonly capacity?: CapacityOptions;
  readonly volumeHealth?: VolumeHealthOptions;
  readonly attachments?: AttachmentOptions & PublishedCheckOptions;
  /** Drivers that stand in for those of clouds, where these are not installed; none unless told. */
  readonly standIns?: StandIns;
}

export interface Controllers {
  /** Ends every controller and its connections; work in progress is cancelled, and done again by whoever starts next. */
  close(): Promise<void>;
}

/** Starts every controller against an API server. Resolves when they have seen all that there is. */
export async function startControllers(options: ControllersOptions): Promise<Controllers> {
  const { log } = options;
  await using stack = new AsyncDisposableStack();
  const client = stack.use(KubeClient.fromKubeconfig(options.kubeconfig, { userAgent: "tripod-controllers" }));
  const recorders = new Map<string, EventRecorder>();
  stack.defer(async () => {
    await Promise.all([...recorders.values()].map((recorder) => recorder.close()));
  });
  const csi = stack.use(new CsiDrivers(options.pluginsRegistryDir, log));
  const world = await openWorld(client, log, stack);
  const pool = new VolumePool();
  // Before any controller: they find in it what they are told of.
  stack.defer(pool.follow(world.volumes));
  const context: ControllerContext = {
    client,
    csi,
    log,
    world,
    pool,
    serving: new ServingDrivers(world, options.standIns ?? {}),
    recorder(component) {
      const known = recorders.get(component);
      if (known !== undefined) return known;
      const recorder = new EventRecorder({ events: client.resource(events), component, log });
      recorders.set(component, recorder);
      return recorder;
    },
  };
  stack.use(new DefaultObjects(context));
  stack.use(new NodeLifecycle(context, options.nodeLifecycle));
  stack.use(new EphemeralClaims(context));
  stack.use(new VolumeBinder(context));
  stack.use(new Provisioner(context));
  stack.use(new DataSourceValidator(context));
  stack.use(new VolumeDeletion(context));
  stack.use(new Resizer(context));
  stack.use(new VolumeModifier(context));
  stack.use(new AttachmentController(context, options.attachments));
  stack.use(new CapacityController(context, options.capacity));
  const attacher = stack.use(new CsiAttacher(context));
  stack.use(new AttachedVolumes(context));
  stack.use(new PublishedCheck(context, attacher, options.attachments));
  stack.use(new VolumeHealthMonitor(context, options.volumeHealth));
  stack.use(new StorageProtection(context));
  stack.use(new SourceProtection(context));
  stack.use(new AttributesProtection(context));
  stack.use(new SnapshotController(context));
  stack.use(new ContentController(context, singleContents));
  stack.use(new GroupSnapshotController(context));
  stack.use(new ContentController(context, groupContents));
  stack.use(new NamespaceController(context));
  stack.use(new PodGc(context, options.podGc));
  stack.use(new Scheduler(context));
  const owned = stack.move();
  return { close: () => owned.disposeAsync() };
}
