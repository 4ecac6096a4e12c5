/** Annotations by which the binder, the scheduler and provisioners speak with one another; the names are upstream's. */
export const annotations = {
  /** On a claim: the controller has finished binding it. */
  bindCompleted: "pv.kubernetes.io/bind-completed",
  /** On a claim or a volume: the binding was the controller's choice, not the user's. */
  boundByController: "pv.kubernetes.io/bound-by-controller",
  /** On a claim: the driver that is to provision it. */
  storageProvisioner: "volume.kubernetes.io/storage-provisioner",
  betaStorageProvisioner: "volume.beta.kubernetes.io/storage-provisioner",
  /** On a claim: the node that its first Pod will run on. */
  selectedNode: "volume.kubernetes.io/selected-node",
  /** On a claim whose class has a provisioner that was built in: the driver that serves it. */
  migratedTo: "volume.kubernetes.io/migrated-to",
  /** On a volume: the driver that made it. */
  provisionedBy: "pv.kubernetes.io/provisioned-by",
  deletionSecretName: "volume.kubernetes.io/provisioner-deletion-secret-name",
  deletionSecretNamespace: "volume.kubernetes.io/provisioner-deletion-secret-namespace",
  /** On a volume: the secret that it is modified with. */
  modifySecretName: "volume.kubernetes.io/controller-modify-secret-name",
  modifySecretNamespace: "volume.kubernetes.io/controller-modify-secret-namespace",
  /** On a class: claims that name none get it. */
  defaultClass: "storageclass.kubernetes.io/is-default-class",
} as const;
