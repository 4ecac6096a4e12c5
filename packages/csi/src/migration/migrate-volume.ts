import { type CSIPersistentVolumeSource, type PersistentVolume, quantityValue } from "@tripod/api/kubernetes";
import { inTreePlugins } from "./in-tree-plugins.ts";

/** Among a volume's attributes: how large a driver that stands in makes it when it knows no such handle, in bytes. */
export const staticSizeKey = (driver: string): string => `${driver}/static-capacity-bytes`;

/** On a PersistentVolume of a kind that was built in: the driver that serves it; upstream's. */
export const migratedTo = "pv.kubernetes.io/migrated-to";

/** The driver that serves a volume of a kind that was built in, by its own name; undefined for any other volume. */
export const inTreeDriverOf = ({ spec }: PersistentVolume): string | undefined =>
  inTreePlugins.find(({ field }) => spec[field] !== undefined)?.driver;

/** A volume with a source in CSI's terms. */
export type CsiPersistentVolume<T extends PersistentVolume> = T & {
  readonly spec: T["spec"] & { readonly csi: CSIPersistentVolumeSource };
};

/**
 * The volume as a CSI volume: itself when it is one; translated when its kind was once built in; undefined for any other kind. Where another
 * driver stands in (the annotation migrated-to names it), that is told the volume's size, for it may meet the handle for the first time.
 * Pure; what is written to the API server stays the volume as it was. Throws "invalid" for a source that cannot be translated.
 */
export function asCsiVolume<T extends PersistentVolume>(volume: T): CsiPersistentVolume<T> | undefined {
  if (volume.spec?.csi !== undefined) return volume as CsiPersistentVolume<T>; // just seen
  for (const { driver, field, zoneKey, source } of inTreePlugins) {
    const found = source(volume);
    if (found === undefined) continue;
    const inUse = volume.metadata.annotations?.[migratedTo] ?? driver;
    const rest = Object.fromEntries(Object.entries(volume.spec).filter(([key]) => key !== field));
    const spec =
      inUse === driver
        ? { ...rest, ...zones(volume, zoneKey), csi: { driver, ...found } }
        : { ...rest, nodeAffinity: undefined, accessModes: onOneNode, csi: standInSource(volume, inUse, found) };
    return { ...volume, spec } as CsiPersistentVolume<T>; // every other field is the volume's
  }
  return undefined;
}

/** A stand-in serves the node that it runs on, whatever the cloud's volume could do. */
const onOneNode = ["ReadWriteOnce"];

/** What a stand-in needs of a source: not the cloud's zones, partitions and secrets. */
function standInSource(
  { spec }: PersistentVolume,
  driver: string,
  { volumeHandle, fsType, readOnly }: Partial<CSIPersistentVolumeSource> & { volumeHandle: string },
): CSIPersistentVolumeSource {
  const sizeBytes = quantityValue(spec.capacity?.storage ?? "0");
  return {
    driver,
    volumeHandle,
    ...(fsType === undefined ? {} : { fsType }),
    ...(readOnly === undefined ? {} : { readOnly }),
    volumeAttributes: { [staticSizeKey(driver)]: String(sizeBytes) },
  };
}

const zoneLabels = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];

/** Where the volume is, with the driver's own name for zones. */
function zones(
  { metadata, spec }: PersistentVolume,
  zoneKey: string | undefined,
): Pick<PersistentVolume["spec"], "nodeAffinity"> {
  if (zoneKey === undefined) return {};
  const { nodeAffinity } = spec;
  if (nodeAffinity?.required !== undefined) {
    const nodeSelectorTerms = nodeAffinity.required.nodeSelectorTerms.map((term) => ({
      ...term,
      matchExpressions: (term.matchExpressions ?? []).map((each) =>
        zoneLabels.includes(each.key) ? { ...each, key: zoneKey } : each,
      ),
    }));
    return { nodeAffinity: { required: { nodeSelectorTerms } } };
  }
  const label = zoneLabels.map((key) => metadata.labels?.[key]).find((value) => value !== undefined && value !== "");
  if (label === undefined) return {};
  const matchExpressions = [{ key: zoneKey, operator: "In" as const, values: label.split("__") }];
  return { nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions }] } } };
}
