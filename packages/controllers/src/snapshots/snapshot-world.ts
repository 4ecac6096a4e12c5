import type {
  VolumeGroupSnapshot,
  VolumeGroupSnapshotClass,
  VolumeGroupSnapshotContent,
  VolumePopulator,
  VolumeSnapshot,
  VolumeSnapshotClass,
  VolumeSnapshotContent,
} from "@tripod/api/kubernetes";
import { codeOf, type Logger } from "@tripod/base";
import {
  Informer,
  type KubeClient,
  type ResourceRef,
  volumeGroupSnapshotClasses,
  volumeGroupSnapshotContents,
  volumeGroupSnapshots,
  volumePopulators,
  volumeSnapshotClasses,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@tripod/kube";

/** Caches of what a cluster may lack: where nobody serves a resource, its cache stays empty. */
export interface SnapshotWorld {
  /** Index: "source" (namespace/name of the claim that it is taken of). */
  readonly snapshots: Informer<VolumeSnapshot>;
  readonly snapshotContents: Informer<VolumeSnapshotContent>;
  readonly snapshotClasses: Informer<VolumeSnapshotClass>;
  readonly groupSnapshots: Informer<VolumeGroupSnapshot>;
  readonly groupSnapshotContents: Informer<VolumeGroupSnapshotContent>;
  readonly groupSnapshotClasses: Informer<VolumeGroupSnapshotClass>;
  readonly populators: Informer<VolumePopulator>;
}

/** The caches, not started. */
export const snapshotInformers = (client: KubeClient, log: Logger): SnapshotWorld => ({
  snapshots: new Informer(client.resource(volumeSnapshots), {
    log,
    indexes: {
      source: ({ metadata, spec }) =>
        spec.source.persistentVolumeClaimName === undefined
          ? []
          : [`${metadata.namespace}/${spec.source.persistentVolumeClaimName}`],
    },
  }),
  snapshotContents: new Informer(client.resource(volumeSnapshotContents), { log }),
  snapshotClasses: new Informer(client.resource(volumeSnapshotClasses), { log }),
  groupSnapshots: new Informer(client.resource(volumeGroupSnapshots), { log }),
  groupSnapshotContents: new Informer(client.resource(volumeGroupSnapshotContents), { log }),
  groupSnapshotClasses: new Informer(client.resource(volumeGroupSnapshotClasses), { log }),
  populators: new Informer(client.resource(volumePopulators), { log }),
});

/** Whether the API server has the resource. One that cannot be asked is taken to have it: the cache goes on trying. */
export async function isServed(
  client: Pick<KubeClient, "resourceOf">,
  { group, version, kind = "" }: ResourceRef,
): Promise<boolean> {
  try {
    await client.resourceOf({ apiVersion: `${group}/${version}`, kind });
    return true;
  } catch (error) {
    return codeOf(error) !== "not-found";
  }
}
