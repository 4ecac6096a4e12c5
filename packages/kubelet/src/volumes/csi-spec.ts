import type { CSIDriver, PersistentVolume, Pod, SecretReference, Volume } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { namespaceOf, uidOf } from "../pods/pod-facts.ts";
import { inlineHandle } from "./csi-paths.ts";

/** A CSI volume of a Pod, wherever it came from: a PersistentVolume or the Pod itself. */
export interface CsiVolume {
  /** The name of its folder in the Pod's volumes folder. */
  readonly specName: string;
  readonly driver: string;
  readonly handle: string;
  readonly lifecycle: "Persistent" | "Ephemeral";
  readonly block: boolean;
  readonly readOnly: boolean;
  readonly fsType: string;
  readonly mountOptions: readonly string[];
  readonly attributes: Readonly<Record<string, string>>;
  readonly accessModes: readonly string[];
  readonly stageSecret: SecretReference | undefined;
  readonly publishSecret: SecretReference | undefined;
  readonly expandSecret?: SecretReference | undefined;
  /** The claim that it is bound to. */
  readonly claim?: { readonly namespace: string; readonly name: string } | undefined;
}

/** The CSI volume that a PersistentVolume describes. */
export function persistentCsiVolume(pv: PersistentVolume, podReadOnly: boolean): CsiVolume {
  const csi = pv.spec?.csi;
  const name = pv.metadata?.name ?? "";
  const claim = pv.spec?.claimRef;
  if (csi === undefined) throw new TripodError("invalid", `PersistentVolume ${name}: is not a CSI volume`);
  return {
    specName: name,
    driver: csi.driver,
    handle: csi.volumeHandle,
    lifecycle: "Persistent",
    block: pv.spec?.volumeMode === "Block",
    readOnly: podReadOnly || csi.readOnly === true,
    fsType: csi.fsType ?? "",
    mountOptions: pv.spec?.mountOptions ?? [],
    attributes: csi.volumeAttributes ?? {},
    accessModes: pv.spec?.accessModes ?? [],
    stageSecret: csi.nodeStageSecretRef,
    publishSecret: csi.nodePublishSecretRef,
    expandSecret: csi.nodeExpandSecretRef,
    claim: claim === undefined ? undefined : { namespace: claim.namespace ?? "", name: claim.name ?? "" },
  };
}

/** The CSI volume that stands in the Pod itself and lives as long as the Pod. */
export function inlineCsiVolume(pod: Pod, volume: Volume): CsiVolume {
  const csi = volume.csi;
  if (csi === undefined) throw new TripodError("invalid", `volume ${volume.name}: is not an inline CSI volume`);
  const secretName = csi.nodePublishSecretRef?.name;
  return {
    specName: volume.name,
    driver: csi.driver,
    handle: inlineHandle(uidOf(pod), volume.name),
    lifecycle: "Ephemeral",
    block: false,
    readOnly: csi.readOnly === true,
    fsType: csi.fsType ?? "",
    mountOptions: [],
    attributes: csi.volumeAttributes ?? {},
    accessModes: ["ReadWriteOnce"],
    stageSecret: undefined,
    publishSecret: secretName === undefined ? undefined : { name: secretName, namespace: namespaceOf(pod) },
  };
}

/** The facts about the Pod that a driver with podInfoOnMount gets in the volume's context. */
export const podInfo = (pod: Pod, volume: CsiVolume): Record<string, string> => ({
  "csi.storage.k8s.io/pod.name": pod.metadata?.name ?? "",
  "csi.storage.k8s.io/pod.namespace": namespaceOf(pod),
  "csi.storage.k8s.io/pod.uid": uidOf(pod),
  "csi.storage.k8s.io/serviceAccount.name": pod.spec?.serviceAccountName ?? "default",
  "csi.storage.k8s.io/ephemeral": String(volume.lifecycle === "Ephemeral"),
});

/** Whether the kubelet gives the volume's files to the Pod's fsGroup itself. */
export function kubeletSetsFsGroup(driver: CSIDriver | undefined, volume: CsiVolume): boolean {
  if (volume.block || volume.readOnly) return false;
  const policy = driver?.spec?.fsGroupPolicy ?? "ReadWriteOnceWithFSType";
  if (policy === "None") return false;
  if (policy === "File") return true;
  const { fsType, accessModes } = volume;
  return fsType !== "" && (accessModes.includes("ReadWriteOnce") || accessModes.includes("ReadWriteOncePod"));
}
