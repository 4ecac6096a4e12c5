import { compareQuantities, type KeyToPath, type Volume } from "@tripod/api/kubernetes";
import type { FieldErrors } from "../../registry/field-errors.ts";
import { checkName } from "../../registry/names.ts";

const hostPathTypes = [
  "",
  "BlockDevice",
  "CharDevice",
  "Directory",
  "DirectoryOrCreate",
  "File",
  "FileOrCreate",
  "Socket",
];
const modeRule = "must be a number between 0 and 0777 (octal), both inclusive";

function checkMode(mode: number | undefined, field: string, errors: FieldErrors): void {
  if (mode !== undefined && (mode < 0 || mode > 0o777)) errors.invalid(field, mode, modeRule);
}

/** A path of a file below the volume. */
function checkFilePath(path: string | undefined, field: string, errors: FieldErrors): void {
  if (!path) errors.required(field);
  else if (path.startsWith("/")) errors.invalid(field, path, "must be a relative path");
  else if (path.split("/").includes("..")) errors.invalid(field, path, "must not contain '..'");
  else if (path.startsWith("..")) errors.invalid(field, path, "must not start with '..'");
}

function checkItems(items: readonly KeyToPath[] | undefined, field: string, errors: FieldErrors): void {
  for (const [index, item] of (items ?? []).entries()) {
    const at = `${field}[${index}]`;
    if (!item.key) errors.required(`${at}.key`);
    checkFilePath(item.path, `${at}.path`, errors);
    checkMode(item.mode, `${at}.mode`, errors);
  }
}

/** Checks a Pod's volumes; their names are returned, for mounts to refer to. */
export function validateVolumes(volumes: readonly Volume[], errors: FieldErrors): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [index, volume] of volumes.entries()) {
    const at = `spec.volumes[${index}]`;
    if (!volume.name) errors.required(`${at}.name`);
    else checkName(volume.name, "label", `${at}.name`, errors);
    if (names.has(volume.name)) errors.duplicate(`${at}.name`, volume.name);
    names.add(volume.name);
    validateSource(volume, at, errors);
  }
  return names;
}

function validateSource(volume: Volume, at: string, errors: FieldErrors): void {
  const { name: _name, ...sources } = volume;
  for (const extra of Object.keys(sources).slice(1))
    errors.forbidden(`${at}.${extra}`, "may not specify more than 1 volume type");
  const { hostPath, persistentVolumeClaim, secret, configMap, emptyDir, csi, downwardAPI, projected, ephemeral } =
    volume;
  if (hostPath !== undefined) {
    if (!hostPath.path) errors.required(`${at}.hostPath.path`);
    else if (hostPath.path.split("/").includes(".."))
      errors.invalid(`${at}.hostPath.path`, hostPath.path, "must not contain '..'");
    if (!hostPathTypes.includes(hostPath.type ?? ""))
      errors.notSupported(`${at}.hostPath.type`, hostPath.type, hostPathTypes);
  }
  if (persistentVolumeClaim !== undefined && !persistentVolumeClaim.claimName)
    errors.required(`${at}.persistentVolumeClaim.claimName`);
  if (secret !== undefined) {
    if (!secret.secretName) errors.required(`${at}.secret.secretName`);
    checkMode(secret.defaultMode, `${at}.secret.defaultMode`, errors);
    checkItems(secret.items, `${at}.secret.items`, errors);
  }
  if (configMap !== undefined) {
    if (!configMap.name) errors.required(`${at}.configMap.name`);
    checkMode(configMap.defaultMode, `${at}.configMap.defaultMode`, errors);
    checkItems(configMap.items, `${at}.configMap.items`, errors);
  }
  if (emptyDir?.sizeLimit !== undefined && compareQuantities(emptyDir.sizeLimit, "0") < 0)
    errors.forbidden(`${at}.emptyDir.sizeLimit`, "SizeLimit field must be a valid resource quantity");
  if (csi !== undefined && !csi.driver) errors.required(`${at}.csi.driver`);
  for (const [index, item] of (downwardAPI?.items ?? []).entries())
    checkFilePath(item.path, `${at}.downwardAPI.items[${index}].path`, errors);
  for (const [index, source] of (projected?.sources ?? []).entries()) {
    const here = `${at}.projected.sources[${index}]`;
    if (source.secret !== undefined) {
      if (!source.secret.name) errors.required(`${here}.secret.name`);
      checkItems(source.secret.items, `${here}.secret.items`, errors);
    }
    if (source.configMap !== undefined) {
      if (!source.configMap.name) errors.required(`${here}.configMap.name`);
      checkItems(source.configMap.items, `${here}.configMap.items`, errors);
    }
    const token = source.serviceAccountToken;
    if (token !== undefined) {
      checkFilePath(token.path, `${here}.serviceAccountToken.path`, errors);
      if ((token.expirationSeconds ?? 3600) < 600)
        errors.invalid(
          `${here}.serviceAccountToken.expirationSeconds`,
          token.expirationSeconds,
          "may not specify a duration less than 10 minutes",
        );
    }
  }
  if (ephemeral !== undefined && ephemeral.volumeClaimTemplate?.spec === undefined)
    errors.required(`${at}.ephemeral.volumeClaimTemplate`);
}
