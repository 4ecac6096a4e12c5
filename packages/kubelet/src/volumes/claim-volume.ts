import { mkdir } from "node:fs/promises";
import type { PersistentVolume, Pod, Volume } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { asCsiVolume } from "@tripod/csi/migration";
import { bindMount, isMountPoint } from "@tripod/linux";
import { nameOf, namespaceOf, uidOf } from "../pods/pod-facts.ts";
import { claimNameOf } from "./claim-name.ts";
import { type CsiVolume, persistentCsiVolume } from "./csi-spec.ts";
import { setFsGroup } from "./fs-group.ts";
import { prepareHostPath } from "./host-path.ts";
import type { MountedVolume } from "./mounted-volume.ts";
import type { PodPaths } from "./pod-paths.ts";
import { unknownKind } from "./unknown-kind.ts";
import type { VolumeObjects } from "./volume-objects.ts";

const localPlugin = "kubernetes.io~local-volume";

/** What a PersistentVolume's spec holds beside its kind. */
const volumeFields = new Set([
  "accessModes",
  "capacity",
  "claimRef",
  "mountOptions",
  "nodeAffinity",
  "persistentVolumeReclaimPolicy",
  "storageClassName",
  "volumeAttributesClassName",
  "volumeMode",
]);

/** The PersistentVolume behind a Pod's claim; a claim that is missing, unbound, going away or another Pod's is an error that says so. */
export async function claimedVolume(pod: Pod, volume: Volume, objects: VolumeObjects): Promise<PersistentVolume> {
  const namespace = namespaceOf(pod);
  const claimName = claimNameOf(pod, volume) ?? "";
  const claim = await objects.claim(namespace, claimName);
  if (claim === undefined) throw new TripodError("not-found", `persistentvolumeclaim "${claimName}" not found`);
  if (volume.ephemeral !== undefined) {
    const owned = claim.metadata?.ownerReferences?.some(
      ({ uid, controller }) => uid === uidOf(pod) && controller === true,
    );
    if (owned !== true) {
      throw new TripodError(
        "conflict",
        `PVC ${namespace}/${claimName} was not created for pod ${nameOf(pod)}; rename one`,
      );
    }
  }
  const volumeName = claim.spec?.volumeName;
  if (claim.status?.phase !== "Bound" || volumeName === undefined || volumeName === "") {
    throw new TripodError("failed-precondition", `PVC ${namespace}/${claimName} is not bound`);
  }
  const found = await objects.persistentVolume(volumeName);
  if (found === undefined) throw new TripodError("not-found", `persistentvolume "${volumeName}" not found`);
  if (found.spec?.claimRef?.uid !== claim.metadata?.uid) {
    throw new TripodError("conflict", `PV ${volumeName} is bound to another claim than ${namespace}/${claimName}`);
  }
  return found;
}

/** A PersistentVolume as a CSI volume, or made ready right here when it is a path of this node. */
export async function openPersistentVolume(
  pod: Pod,
  volume: Volume,
  { pv, paths, signal }: { readonly pv: PersistentVolume; readonly paths: PodPaths; readonly signal: AbortSignal },
): Promise<CsiVolume | MountedVolume> {
  const readOnly = volume.persistentVolumeClaim?.readOnly === true;
  const name = pv.metadata?.name ?? "";
  const csi = asCsiVolume(pv);
  if (csi !== undefined) return persistentCsiVolume(csi, readOnly);
  if (pv.spec?.hostPath !== undefined) {
    return { kind: "host", hostPath: await prepareHostPath(pv.spec.hostPath), readOnly };
  }
  const local = pv.spec?.local;
  if (local === undefined) {
    throw unknownKind(Object.keys(pv.spec ?? {}).find((key) => !volumeFields.has(key)));
  }
  if (pv.spec?.volumeMode === "Block") return { kind: "device", devicePath: local.path, readOnly };
  await prepareHostPath({ path: local.path, type: "Directory" });
  const target = paths.volume(localPlugin, name);
  await mkdir(target, { recursive: true, mode: 0o750 });
  if (!isMountPoint(target)) bindMount(local.path, target, { recursive: true, readOnly });
  const { fsGroup, fsGroupChangePolicy: policy } = pod.spec?.securityContext ?? {};
  if (fsGroup !== undefined && !readOnly) await setFsGroup(target, { fsGroup, policy, signal });
  return { kind: "folder", hostPath: target, readOnly };
}
