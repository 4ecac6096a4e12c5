import type { StorageClass, TopologySelectorTerm } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { inTreePlugins } from "./in-tree-plugins.ts";

/** The CSI driver for a provisioner that was built in; undefined for any other. */
export const inTreeDriverOfProvisioner = (provisioner: string): string | undefined =>
  inTreePlugins.find(({ name }) => name === provisioner)?.driver;

const zoneLabels = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];

/**
 * The class in the terms of `driver`, which serves its provisioner: the CSI driver for one that was built in, or one that stands in for that, which
 * is told the file system alone. Any other class is returned as it is.
 */
export function migratedClass<T extends StorageClass>(storageClass: T, driver: string): T {
  const plugin = inTreePlugins.find(({ name }) => name === storageClass.provisioner);
  if (plugin === undefined) return storageClass;
  const parameters: Record<string, string> = {};
  const zoneValues: string[] = [];
  for (const [key, value] of Object.entries(storageClass.parameters ?? {})) {
    const lower = key.toLowerCase();
    const translate = plugin.parameters?.[lower];
    if (plugin.zoneKey !== undefined && (lower === "zone" || lower === "zones")) zoneValues.push(...value.split(","));
    else if (translate !== undefined) Object.assign(parameters, translate(value));
    else if (plugin.dropsOthers !== true) parameters[key] = value;
  }
  if (driver !== plugin.driver) {
    const fsType = parameters["csi.storage.k8s.io/fstype"] ?? parameters.fstype ?? parameters.fsType;
    const { allowedTopologies: _zones, ...rest } = storageClass;
    return {
      ...rest,
      provisioner: driver,
      parameters: fsType === undefined ? {} : { "csi.storage.k8s.io/fstype": fsType },
    } as T; // allowedTopologies is optional
  }
  const allowed = allowedTopologies(storageClass, plugin.zoneKey, zoneValues);
  return {
    ...storageClass,
    provisioner: driver,
    parameters,
    ...(allowed === undefined ? {} : { allowedTopologies: allowed }),
  };
}

function allowedTopologies(
  { metadata, allowedTopologies: given = [] }: StorageClass,
  zoneKey: string | undefined,
  zones: readonly string[],
): TopologySelectorTerm[] | undefined {
  if (zoneKey === undefined) return undefined;
  if (zones.length === 0)
    return given.map((term) => ({
      matchLabelExpressions: (term.matchLabelExpressions ?? []).map((each) =>
        zoneLabels.includes(each.key) ? { ...each, key: zoneKey } : each,
      ),
    }));
  if (given.length > 0)
    throw new TripodError(
      "invalid",
      `storage class ${metadata.name}: it has zones both as parameters and as allowedTopologies`,
    );
  return [{ matchLabelExpressions: [{ key: zoneKey, values: zones.map((zone) => zone.trim()) }] }];
}
