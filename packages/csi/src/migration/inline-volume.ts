import type { PersistentVolume, Volume } from "@tripod/api/kubernetes";
import { inTreePlugins } from "./in-tree-plugins.ts";
import { asCsiVolume, type CsiPersistentVolume, migratedTo } from "./migrate-volume.ts";

/** A volume in a Pod's own list has no size; a driver that stands in makes it as large as the clouds' smallest disks. */
const standInSize = "1Gi";

/** What tells volumes of one kind apart, by the kind's field; upstream's (k8s.io/csi-translation-lib), part of the paths on nodes. */
const nameOf = {
  awsElasticBlockStore: ({ awsElasticBlockStore: it }: Volume) => it?.volumeID,
  gcePersistentDisk: ({ gcePersistentDisk: it }: Volume) => it?.pdName,
  cinder: ({ cinder: it }: Volume) => it?.volumeID,
  azureDisk: ({ azureDisk: it }: Volume) => it?.diskName,
  azureFile: ({ azureFile: it }: Volume) => it?.shareName,
  vsphereVolume: ({ vsphereVolume: it }: Volume) => it?.volumePath,
  portworxVolume: ({ portworxVolume: it }: Volume) => it?.volumeID,
};

/** The driver of a Pod's volume of a kind that was built in, by the driver's own name; undefined for any other volume. */
export const inlineDriverOf = (volume: Volume): string | undefined =>
  inTreePlugins.find(({ field }) => volume[field] !== undefined)?.driver;

/**
 * A Pod's volume of a kind that was once built in, as the PersistentVolume that upstream takes it for: its name is the driver's and the
 * volume's, with "~" for "/", and secrets are the Pod's. `serving` says which driver serves in place of the kind's own. Undefined for any other volume; throws "invalid" as
 * asCsiVolume() does.
 */
export function inlineCloudVolume(
  volume: Volume,
  namespace: string,
  serving: (driver: string) => string,
): CsiPersistentVolume<PersistentVolume> | undefined {
  const plugin = inTreePlugins.find(({ field }) => volume[field] !== undefined);
  if (plugin === undefined) return undefined;
  const { field, driver } = plugin;
  const inUse = serving(driver);
  return asCsiVolume<PersistentVolume>({
    metadata: {
      name: `${driver}-${nameOf[field](volume) ?? ""}`.replaceAll("/", "~"),
      ...(inUse === driver ? {} : { annotations: { [migratedTo]: inUse } }),
    },
    spec: {
      accessModes: ["ReadWriteOnce"],
      capacity: { storage: standInSize },
      ...(volume.azureFile === undefined
        ? { [field]: volume[field] }
        : { azureFile: { ...volume.azureFile, secretNamespace: namespace } }),
    },
  });
}
