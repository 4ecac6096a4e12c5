import type { PersistentVolumeClaimSpec, TypedLocalObjectReference } from "@tripod/api/kubernetes";
import type { FieldErrors } from "../../registry/field-errors.ts";
import { checkName } from "../../registry/names.ts";

const isCoreSource = ({ kind, apiGroup = "" }: TypedLocalObjectReference): boolean =>
  (kind === "PersistentVolumeClaim" && apiGroup === "") ||
  (kind === "VolumeSnapshot" && apiGroup === "snapshot.storage.k8s.io");

/**
 * Makes dataSource and dataSourceRef say the same, whichever of the two was written. dataSource alone takes claims and snapshots, anything
 * else in it is ignored, as it always was; a source in another namespace is ignored as well, because nobody could grant it here.
 */
export function normalizeDataSource(spec: PersistentVolumeClaimSpec, old?: PersistentVolumeClaimSpec): void {
  const had = old?.dataSource !== undefined || old?.dataSourceRef !== undefined;
  if (spec.dataSourceRef?.namespace && old?.dataSourceRef === undefined) delete spec.dataSourceRef;
  if (!had && spec.dataSourceRef === undefined && spec.dataSource !== undefined && !isCoreSource(spec.dataSource))
    delete spec.dataSource;
  const { dataSource, dataSourceRef } = spec;
  if (dataSource !== undefined) spec.dataSourceRef ??= { ...dataSource };
  else if (dataSourceRef !== undefined) {
    const { namespace: _namespace, ...source } = dataSourceRef;
    spec.dataSource = source;
  }
}

export function checkDataSource({ dataSource, dataSourceRef }: PersistentVolumeClaimSpec, errors: FieldErrors): void {
  for (const [field, source] of Object.entries({ dataSource, dataSourceRef })) {
    if (source === undefined) continue;
    const at = `spec.${field}`;
    if (!source.name) errors.required(`${at}.name`);
    if (!source.kind) errors.required(`${at}.kind`);
    if (source.apiGroup) checkName(source.apiGroup, "subdomain", `${at}.apiGroup`, errors);
    else if (source.kind !== "PersistentVolumeClaim")
      errors.invalid(at, source.kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
  }
  const differs = (["kind", "name", "apiGroup"] as const).some(
    (field) => (dataSource?.[field] ?? "") !== (dataSourceRef?.[field] ?? ""),
  );
  if (dataSource !== undefined && dataSourceRef !== undefined && differs)
    errors.invalid("spec.dataSource", dataSource, "must match dataSourceRef");
}
