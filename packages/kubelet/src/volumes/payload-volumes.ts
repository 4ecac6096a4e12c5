import { mkdir } from "node:fs/promises";
import type { Pod, Volume } from "@tripod/api/kubernetes";
import { isMountPoint, mountTmpfs } from "@tripod/linux";
import { writeAtomicFiles } from "./atomic-files.ts";
import { configMapPayload, secretPayload } from "./config-payload.ts";
import { downwardPayload } from "./downward-payload.ts";
import type { MountedVolume } from "./mounted-volume.ts";
import type { Payload } from "./payload.ts";
import type { PodPaths } from "./pod-paths.ts";
import { type ProjectedInput, projectedPayload } from "./projected-payload.ts";

interface PayloadKind {
  /** The name of its folder under the Pod's volumes. */
  readonly plugin: string;
  /** What it holds must not reach the disk. */
  readonly inMemory: boolean;
  readonly payload: (pod: Pod, volume: Volume, input: ProjectedInput) => Promise<Payload>;
}

const configMapKind: PayloadKind = {
  plugin: "kubernetes.io~configmap",
  inMemory: false,
  payload: (pod, { configMap = {} }, { source }) =>
    configMapPayload(pod, configMap, { source, defaultMode: configMap.defaultMode ?? 0o644 }),
};

const secretKind: PayloadKind = {
  plugin: "kubernetes.io~secret",
  inMemory: true,
  payload: (pod, { secret = {} }, { source }) => {
    const { secretName, items, optional, defaultMode = 0o644 } = secret;
    const reference = {
      ...(secretName === undefined ? {} : { name: secretName }),
      ...(items === undefined ? {} : { items }),
      ...(optional === undefined ? {} : { optional }),
    };
    return secretPayload(pod, reference, { source, defaultMode });
  },
};

const downwardKind: PayloadKind = {
  plugin: "kubernetes.io~downward-api",
  inMemory: true,
  payload: async (pod, { downwardAPI = {} }, { facts }) =>
    downwardPayload(pod, downwardAPI.items ?? [], { facts, defaultMode: downwardAPI.defaultMode ?? 0o644 }),
};

const projectedKind: PayloadKind = {
  plugin: "kubernetes.io~projected",
  inMemory: true,
  payload: (pod, { projected = {} }, input) => projectedPayload(pod, projected, input),
};

/** The kind of a volume whose files come from the API server; undefined for another sort of volume. */
export function payloadKindOf(volume: Volume): PayloadKind | undefined {
  if (volume.configMap !== undefined) return configMapKind;
  if (volume.secret !== undefined) return secretKind;
  if (volume.downwardAPI !== undefined) return downwardKind;
  return volume.projected === undefined ? undefined : projectedKind;
}

/** Writes, or brings up to date, a volume whose files come from the API server. */
export async function writePayloadVolume(
  kind: PayloadKind,
  volume: Volume,
  { pod, paths, input }: { readonly pod: Pod; readonly paths: PodPaths; readonly input: ProjectedInput },
): Promise<MountedVolume> {
  // First the contents: a volume whose source is missing leaves nothing on the node.
  const payload = await kind.payload(pod, volume, input);
  const dir = paths.volume(kind.plugin, volume.name);
  await mkdir(dir, { recursive: true, mode: 0o755 });
  if (kind.inMemory && !isMountPoint(dir)) mountTmpfs(dir, { mode: 0o755 });
  const fsGroup = pod.spec?.securityContext?.fsGroup;
  await writeAtomicFiles(dir, payload, fsGroup === undefined ? {} : { fsGroup });
  return { kind: "folder", hostPath: dir, readOnly: true };
}
