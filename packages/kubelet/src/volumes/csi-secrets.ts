import type { SecretReference } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { secretDataOf } from "@tripod/csi";
import type { VolumeObjects } from "./volume-objects.ts";

/** The contents of a volume's secret; nothing without a reference. */
export async function secretsOf(
  objects: VolumeObjects,
  reference: SecretReference | undefined,
): Promise<Record<string, string>> {
  if (reference === undefined) return {};
  const { namespace = "", name = "" } = reference;
  const secret = await objects.secret(namespace, name);
  if (secret === undefined) throw new TripodError("not-found", `secret ${namespace}/${name} of the volume: not found`);
  return secretDataOf(secret);
}
