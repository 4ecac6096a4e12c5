import type { PersistentVolume, Pod, Volume } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { asCsiVolume } from "@tripod/csi/migration";
import { nameOf, namespaceOf, uidOf } from "../pods/pod-facts.ts";
import { claimNameOf } from "./claim-name.ts";
import { type CsiVolume, persistentCsiVolume } from "./csi-spec.ts";
import { prepareHostPath } from "./host-path.ts";
import { type LocalVolumeOptions, openLocalVolume } from "./local-volume.ts";
import type { MountedVolume } from "./mounted-volume.ts";
import { nfsPlugin, openNfsVolume } from "./nfs-volume.ts";
import { podPaths } from "./pod-paths.ts";
import { unknownKind } from "./unknown-kind.ts";
import type { VolumeObjects } from "./volume-objects.ts";

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

/** A PersistentVolume as a CSI volume, or made ready right here when it is a path of this node or an NFS export. */
export async function openPersistentVolume(pod: Pod, options: LocalVolumeOptions): Promise<CsiVolume | MountedVolume> {
  const { pv, kubeletDir, readOnly, signal } = options;
  const csi = asCsiVolume(pv);
  if (csi !== undefined) return persistentCsiVolume(csi, readOnly);
  if (pv.spec?.hostPath !== undefined) {
    return { kind: "host", hostPath: await prepareHostPath(pv.spec.hostPath), readOnly };
  }
  const { nfs, mountOptions = [] } = pv.spec ?? {};
  if (nfs !== undefined) {
    const target = podPaths(kubeletDir, uidOf(pod)).volume(nfsPlugin, pv.metadata?.name ?? "");
    return openNfsVolume(nfs, { target, readOnly, mountOptions, signal });
  }
  if (pv.spec?.local === undefined) throw unknownKind(Object.keys(pv.spec ?? {}).find((key) => !volumeFields.has(key)));
  return openLocalVolume(pod, options);
}
