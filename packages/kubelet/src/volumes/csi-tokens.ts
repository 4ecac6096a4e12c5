import type { CSIDriver, Pod } from "@tripod/api/kubernetes";
import type { VolumeObjects } from "./volume-objects.ts";

/** The tokens of the Pod's service account that a driver asks for in its CSIDriver, in the form that drivers read. */
export async function serviceAccountTokens(
  pod: Pod,
  driver: CSIDriver | undefined,
  objects: VolumeObjects,
): Promise<Record<string, string>> {
  const requests = driver?.spec?.tokenRequests ?? [];
  if (requests.length === 0) return {};
  const tokens: Record<string, { token: string; expirationTimestamp: string }> = {};
  for (const { audience = "", expirationSeconds = 3600 } of requests) {
    tokens[audience] = await objects.token(pod, {
      audience: audience === "" ? undefined : audience,
      expirationSeconds,
    });
  }
  return { "csi.storage.k8s.io/serviceAccount.tokens": JSON.stringify(tokens) };
}
