import type { FieldErrors } from "../../registry/field-errors.ts";

const letters: Readonly<Record<string, string>> = {
  ReadWriteOnce: "RWO",
  ReadOnlyMany: "ROX",
  ReadWriteMany: "RWX",
  ReadWriteOncePod: "RWOP",
};

/** "RWO,ROX": access modes as kubectl prints them. */
export const accessModesText = (modes: readonly string[] | undefined): string =>
  [...new Set(modes ?? [])].map((mode) => letters[mode] ?? mode).join(",");

export function checkAccessModes(modes: readonly string[] | undefined, errors: FieldErrors): void {
  if ((modes ?? []).length === 0) errors.required("spec.accessModes", "at least 1 access mode is required");
  for (const mode of modes ?? [])
    if (letters[mode] === undefined) errors.notSupported("spec.accessModes", mode, Object.keys(letters).sort());
  if (modes?.includes("ReadWriteOncePod") === true && modes.length > 1)
    errors.forbidden("spec.accessModes", "may not use ReadWriteOncePod with other access modes");
}

export const volumeModes = ["Block", "Filesystem"];
