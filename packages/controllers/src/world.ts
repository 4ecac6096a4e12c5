import type {
  ConfigMap,
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  Lease,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  ServiceAccount,
  StorageClass,
  VolumeAttachment,
  VolumeAttributesClass,
} from "@tripod/api/kubernetes";
import type { Logger } from "@tripod/base";
import {
  configMaps,
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  Informer,
  type KubeClient,
  leases,
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  serviceAccounts,
  storageClasses,
  volumeAttachments,
  volumeAttributesClasses,
} from "@tripod/kube";
import { isServed, snapshotInformers, type SnapshotWorld } from "./snapshots/snapshot-world.ts";
import { claimKeysOf } from "./volumes/pod-claims.ts";

/** Caches of what a cluster may lack: custom resources, and what older ones do not have. */
interface OptionalWorld extends SnapshotWorld {
  readonly attributesClasses: Informer<VolumeAttributesClass>;
}

/** Caches of what the controllers decide by, shared by all of them. */
export interface World extends OptionalWorld {
  /** Indexes: "node" (the node's name) and "claim" (namespace/name of each claim that it uses). */
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly volumes: Informer<PersistentVolume>;
  /** Indexes: "class", and "source" (namespace/name of the claim or snapshot that the volume is to be made of). */
  readonly claims: Informer<PersistentVolumeClaim>;
  readonly classes: Informer<StorageClass>;
  readonly drivers: Informer<CSIDriver>;
  readonly csiNodes: Informer<CSINode>;
  /** Index: "class". */
  readonly capacities: Informer<CSIStorageCapacity>;
  readonly attachments: Informer<VolumeAttachment>;
  readonly namespaces: Informer<Namespace>;
  readonly serviceAccounts: Informer<ServiceAccount>;
  /** Those named kube-root-ca.crt alone. */
  readonly rootCertificates: Informer<ConfigMap>;
  /** Of nodes. */
  readonly leases: Informer<Lease>;
}

/** The namespace that nodes keep their Leases in. */
export const leaseNamespace = "kube-node-lease";
/** The ConfigMap with which Pods check the API server's certificate. */
export const rootCertificateName = "kube-root-ca.crt";

/** Starts the caches; each is closed when `stack` is disposed. Resolves when all have been filled. */
export async function openWorld(client: KubeClient, log: Logger, stack: AsyncDisposableStack): Promise<World> {
  const options = { log };
  const optional: OptionalWorld = {
    ...snapshotInformers(client, log),
    attributesClasses: new Informer(client.resource(volumeAttributesClasses), options),
  };
  const world: World = {
    ...optional,
    pods: new Informer(client.resource(pods), {
      log,
      indexes: { node: (pod) => (pod.spec.nodeName === undefined ? [] : [pod.spec.nodeName]), claim: claimKeysOf },
    }),
    nodes: new Informer(client.resource(nodes), options),
    volumes: new Informer(client.resource(persistentVolumes), options),
    claims: new Informer(client.resource(persistentVolumeClaims), {
      log,
      indexes: {
        class: (claim) => [claim.spec.storageClassName ?? ""],
        source: ({ metadata, spec: { dataSource } }) =>
          dataSource === undefined ? [] : [`${metadata.namespace}/${dataSource.name}`],
      },
    }),
    classes: new Informer(client.resource(storageClasses), options),
    drivers: new Informer(client.resource(csiDrivers), options),
    csiNodes: new Informer(client.resource(csiNodes), options),
    capacities: new Informer(client.resource(csiStorageCapacities), {
      log,
      indexes: { class: ({ storageClassName }) => [storageClassName] },
    }),
    attachments: new Informer(client.resource(volumeAttachments), options),
    namespaces: new Informer(client.resource(namespaces), options),
    serviceAccounts: new Informer(client.resource(serviceAccounts), { log, fieldSelector: "metadata.name=default" }),
    rootCertificates: new Informer(client.resource(configMaps), {
      log,
      fieldSelector: `metadata.name=${rootCertificateName}`,
    }),
    leases: new Informer(client.resource(leases), { log, namespace: leaseNamespace }),
  };
  const informers = Object.values(world) as Informer<never>[]; // every member of World is an informer
  for (const informer of informers) stack.use(informer);
  const absent = new Set<Informer<never>>();
  for (const informer of Object.values(optional) as Informer<never>[]) // every member is an informer
    if (!(await isServed(client, informer.ref))) absent.add(informer);
  const served = informers.filter((informer) => !absent.has(informer));
  for (const informer of served) informer.start();
  await Promise.all(served.map((informer) => informer.synced));
  return world;
}
