import { TripodError } from "@tripod/base";

/** What to use in place of kinds that upstream mounts, or mounted, and this kubelet does not; the drivers are those of the same storage. */
const instead: Readonly<Record<string, string>> = {
  iscsi: "a PersistentVolume of iscsi.csi.k8s.io",
  fc: "a PersistentVolume of fc.csi.k8s.io",
  rbd: "a PersistentVolume of rbd.csi.ceph.com",
  cephfs: "a PersistentVolume of cephfs.csi.ceph.com",
  glusterfs: "a PersistentVolume of a CSI driver; upstream removed this kind in Kubernetes 1.26",
  flocker: "a PersistentVolume of a CSI driver; upstream removed this kind in Kubernetes 1.25",
  quobyte: "a PersistentVolume of quobyte-csi; upstream removed this kind in Kubernetes 1.25",
  storageos: "a PersistentVolume of a CSI driver; upstream removed this kind in Kubernetes 1.25",
  scaleIO: "a PersistentVolume of csi-vxflexos.dellemc.com; upstream removed this kind in Kubernetes 1.22",
  photonPersistentDisk: "a PersistentVolume of a CSI driver; upstream's kind has no storage behind it any more",
  gitRepo: "an emptyDir that an init container clones into; this kind let a repository run programs on the node",
};

/** The error for a volume, in a Pod or a PersistentVolume, of a kind that this kubelet does not mount. */
export function unknownKind(kind = "unknown"): TripodError {
  const what = Object.hasOwn(instead, kind) ? instead[kind] : "a PersistentVolume of a CSI driver";
  return new TripodError("unimplemented", `volumes of kind ${kind} are not mounted by this kubelet; use ${what}`);
}
