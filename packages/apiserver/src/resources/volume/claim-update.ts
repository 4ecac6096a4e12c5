import { isDeepStrictEqual } from "node:util";
import { compareQuantities, type PersistentVolumeClaim, type StorageClass } from "@tripod/api/kubernetes";
import { forbidden } from "../../http/api-error.ts";
import type { FieldErrors } from "../../registry/field-errors.ts";
import type { ResourceContext } from "../../registry/resource.ts";
import { storageClasses } from "./storage-class.ts";

const immutable =
  "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
const sizeField = "spec.resources.requests.storage";
const classField = "spec.volumeAttributesClassName";

const sizeOf = ({ spec }: PersistentVolumeClaim): string => spec.resources?.requests?.storage ?? "0";
const isBound = ({ status }: PersistentVolumeClaim): boolean => status?.phase === "Bound";

/** What of a claim's spec stays as it was made; a claim's volume and class may be filled in once. */
function fixedPart({ spec }: PersistentVolumeClaim, old: PersistentVolumeClaim): unknown {
  const { resources: _r, volumeAttributesClassName, volumeName, storageClassName, ...rest } = spec;
  return JSON.parse(
    JSON.stringify({
      ...rest,
      volumeAttributesClassName: isBound(old) ? undefined : volumeAttributesClassName,
      volumeName: old.spec.volumeName ? volumeName : undefined,
      storageClassName: old.spec.storageClassName === undefined ? undefined : storageClassName,
    }),
  );
}

/** What of a claim may change, and how. */
export function checkClaimUpdate(claim: PersistentVolumeClaim, old: PersistentVolumeClaim, errors: FieldErrors): void {
  const resized = compareQuantities(sizeOf(claim), sizeOf(old));
  if (!isDeepStrictEqual(fixedPart(claim, old), fixedPart(old, old)) || (resized !== 0 && !isBound(old)))
    errors.forbidden("spec", immutable);
  // Lowered to what it has not yet, an expansion that failed is taken back; what there is does not shrink.
  if (resized < 0 && compareQuantities(sizeOf(claim), old.status?.capacity?.storage ?? "0") <= 0)
    errors.forbidden(sizeField, "field can not be less than status.capacity");
  const named = claim.spec.volumeAttributesClassName;
  const unset = named === undefined ? "nil" : "empty string";
  if (!named && old.spec.volumeAttributesClassName && old.status?.currentVolumeAttributesClassName !== undefined)
    errors.forbidden(
      classField,
      `update to ${unset} is forbidden when status.currentVolumeAttributesClassName is not nil`,
    );
}

/** Lets a bound claim grow only where its class says that volumes do. */
export async function admitGrowth(
  claim: PersistentVolumeClaim,
  old: PersistentVolumeClaim,
  { store }: ResourceContext,
): Promise<void> {
  if (!isBound(old) || compareQuantities(sizeOf(claim), sizeOf(old)) <= 0) return;
  const named = claim.spec.storageClassName ?? "";
  const found = named === "" ? undefined : await store.find<StorageClass>(storageClasses, undefined, named);
  if (found?.object.allowVolumeExpansion !== true)
    throw forbidden(
      { group: "", plural: "persistentvolumeclaims" },
      claim.metadata.name ?? "",
      "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    );
}
