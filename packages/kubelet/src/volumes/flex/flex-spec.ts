import type {
  FlexPersistentVolumeSource,
  FlexVolumeSource,
  PersistentVolume,
  Pod,
  Secret,
} from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { namespaceOf, nameOf, uidOf } from "../../pods/pod-facts.ts";

/** A FlexVolume of a Pod, wherever it stands: in the Pod or in a PersistentVolume. */
export interface FlexVolume {
  /** The name of its folder in the Pod's volumes folder. */
  readonly specName: string;
  readonly source: FlexVolumeSource | FlexPersistentVolumeSource;
  readonly readOnly: boolean;
}

export const inlineFlexVolume = (specName: string, source: FlexVolumeSource): FlexVolume => ({
  specName,
  source,
  readOnly: source.readOnly === true,
});

/** The FlexVolume that a PersistentVolume describes, as a Pod uses it. */
export function persistentFlexVolume(pv: PersistentVolume, podReadOnly: boolean): FlexVolume {
  const source = pv.spec.flexVolume;
  const specName = pv.metadata.name ?? "";
  if (source === undefined) throw new TripodError("invalid", `PersistentVolume ${specName}: is not a FlexVolume`);
  return { specName, source, readOnly: source.readOnly === true || podReadOnly };
}

/** The options that drivers get as JSON; the names are upstream's. Secrets are in base64, as in the API. */
export function flexOptions(
  pod: Pod,
  volume: FlexVolume,
  { secret, fsGroup }: { readonly secret: Secret | undefined; readonly fsGroup: number | undefined },
): string {
  const { source, readOnly, specName } = volume;
  return JSON.stringify({
    ...Object.fromEntries(
      Object.entries(secret?.data ?? {}).map(([key, value]) => [`kubernetes.io/secret/${key}`, value]),
    ),
    ...source.options,
    "kubernetes.io/fsType": source.fsType ?? "",
    "kubernetes.io/readwrite": readOnly ? "ro" : "rw",
    "kubernetes.io/pvOrVolumeName": specName,
    "kubernetes.io/pod.name": nameOf(pod),
    "kubernetes.io/pod.namespace": namespaceOf(pod),
    "kubernetes.io/pod.uid": uidOf(pod),
    "kubernetes.io/serviceAccount.name": pod.spec?.serviceAccountName ?? "default",
    ...(fsGroup === undefined ? {} : { "kubernetes.io/mounterArgs.FsGroup": String(fsGroup) }),
  });
}
