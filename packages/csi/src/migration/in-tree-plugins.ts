import type { CSIPersistentVolumeSource, PersistentVolume, SecretReference } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";

type Source = Partial<CSIPersistentVolumeSource> & Pick<CSIPersistentVolumeSource, "volumeHandle">;
type Parameters = Readonly<Record<string, string>>;

/** A kind of volume that was once built into Kubernetes, and the CSI driver that serves it now. */
export interface InTreePlugin {
  /** The provisioner's name in StorageClasses: "kubernetes.io/aws-ebs". */
  readonly name: string;
  readonly driver: string;
  /** Its field in the specs of volumes. */
  readonly field:
    | "awsElasticBlockStore"
    | "gcePersistentDisk"
    | "cinder"
    | "azureDisk"
    | "azureFile"
    | "vsphereVolume"
    | "portworxVolume";
  /** The driver's name for zones; undefined for one without any. */
  readonly zoneKey?: string;
  /** The source in CSI's terms; undefined for a volume without that field. */
  readonly source: (volume: PersistentVolume) => Source | undefined;
  /** The class's parameters in the driver's terms, by lower-case name; those that are not named stay as they are. */
  readonly parameters?: Readonly<Record<string, (value: string) => Parameters>>;
  /** Whether parameters that are not named are left out. */
  readonly dropsOthers?: true;
}

const fsTypeKey = "csi.storage.k8s.io/fstype";
const fstype = (value: string): Parameters => ({ [fsTypeKey]: value });
const unspecified = "UNSPECIFIED";
/** Stands between the zones of a volume that is in several, in a label. */
const zoneDelimiter = "__";

const zoneOf = ({ metadata }: PersistentVolume): string =>
  metadata.labels?.["failure-domain.beta.kubernetes.io/zone"] ?? metadata.labels?.["topology.kubernetes.io/zone"] ?? "";

/** aws://ZONE/vol-1, aws:///vol-1 or the bare id. */
function awsHandle(volumeId: string): string {
  if (!volumeId.startsWith("aws://")) return volumeId;
  const id = volumeId.slice("aws://".length).replace(/^[^/]*\/+/, "");
  if (!/^vol-[^/]*$/.test(id))
    throw new TripodError("invalid", `awsElasticBlockStore ${volumeId}: not aws://ZONE/vol-…`);
  return id;
}

function gceHandle(volume: PersistentVolume, pdName: string): string {
  const zones = zoneOf(volume).split(zoneDelimiter);
  if (zones.length === 1) return `projects/${unspecified}/zones/${zones[0] || unspecified}/disks/${pdName}`;
  const regions = new Set(zones.map((zone) => zone.replace(/-[^-]*$/, "")));
  if (regions.size !== 1) throw new TripodError("invalid", `gcePersistentDisk ${pdName}: zones of several regions`);
  return `projects/${unspecified}/regions/${[...regions][0]}/disks/${pdName}`;
}

function azureFileSource({ metadata, spec }: PersistentVolume): Source | undefined {
  const { azureFile, claimRef } = spec;
  if (azureFile === undefined) return undefined;
  const { shareName, secretName, readOnly } = azureFile;
  const namespace = azureFile.secretNamespace ?? claimRef?.namespace ?? "";
  if (namespace === "") throw new TripodError("invalid", `azureFile ${shareName}: no namespace of its secret is known`);
  const account = /^azure-storage-account-(.+)-secret$/.exec(secretName)?.[1] ?? secretName;
  const group = metadata.annotations?.["kubernetes.io/azure-file-resource-group"] ?? "";
  return {
    volumeHandle: [group, account, shareName, metadata.name ?? "", namespace].join("#"),
    ...(readOnly === undefined ? {} : { readOnly }),
    volumeAttributes: { sharename: shareName },
    nodeStageSecretRef: { name: secretName, namespace },
  };
}

const portworxPurposes = [
  "provisioner",
  "controller-publish",
  "node-stage",
  "node-publish",
  "controller-expand",
  "node-expand",
];
const portworxSecret =
  (part: "name" | "namespace") =>
  (value: string): Parameters =>
    Object.fromEntries(portworxPurposes.map((purpose) => [`csi.storage.k8s.io/${purpose}-secret-${part}`, value]));

function portworxSource({ metadata, spec: { portworxVolume } }: PersistentVolume): Source | undefined {
  if (portworxVolume === undefined) return undefined;
  const name = metadata.annotations?.["openstorage.io/auth-secret-name"];
  const namespace = metadata.annotations?.["openstorage.io/auth-secret-namespace"];
  const secret: SecretReference | undefined =
    name === undefined || namespace === undefined ? undefined : { name, namespace };
  return {
    volumeHandle: portworxVolume.volumeID,
    ...(portworxVolume.fsType === undefined ? {} : { fsType: portworxVolume.fsType }),
    ...(secret === undefined
      ? {}
      : {
          controllerPublishSecretRef: secret,
          nodeStageSecretRef: secret,
          nodePublishSecretRef: secret,
          controllerExpandSecretRef: secret,
          nodeExpandSecretRef: secret,
        }),
  };
}

/** What vSphere's driver calls a class's parameters. */
const vsphereParameters = Object.fromEntries(
  [
    ["storagepolicyname", "storagepolicyname"],
    ["datastore", "datastore-migrationparam"],
    ...["diskformat", "hostfailurestotolerate", "forceprovisioning", "cachereservation", "diskstripes"].map((key) => [
      key,
      `${key}-migrationparam`,
    ]),
    ["objectspacereservation", "objectspacereservation-migrationparam"],
    ["iopslimit", "iopslimit-migrationparam"],
  ].map(([key = "", name = ""]) => [key, (value: string): Parameters => ({ [name]: value, csimigration: "true" })]),
);

/** Optional fields of a source, without those that are not there. */
const defined = (fields: { fsType?: string | undefined; readOnly?: boolean | undefined }): Partial<Source> => ({
  ...(fields.fsType === undefined ? {} : { fsType: fields.fsType }),
  ...(fields.readOnly === undefined ? {} : { readOnly: fields.readOnly }),
});

/** The kinds that upstream migrates, with its names (k8s.io/csi-translation-lib). */
export const inTreePlugins: readonly InTreePlugin[] = [
  {
    name: "kubernetes.io/aws-ebs",
    driver: "ebs.csi.aws.com",
    field: "awsElasticBlockStore",
    zoneKey: "topology.ebs.csi.aws.com/zone",
    source: ({ spec: { awsElasticBlockStore: ebs } }) =>
      ebs && {
        volumeHandle: awsHandle(ebs.volumeID),
        ...defined(ebs),
        volumeAttributes: { partition: String(ebs.partition ?? 0) },
      },
    parameters: {
      fstype,
      // As the plugin that was built in, which raised what was too low.
      iopspergb: (value) => ({ iopspergb: value, allowautoiopspergbincrease: "true" }),
    },
  },
  {
    name: "kubernetes.io/gce-pd",
    driver: "pd.csi.storage.gke.io",
    field: "gcePersistentDisk",
    zoneKey: "topology.gke.io/zone",
    source: (volume) => {
      const disk = volume.spec.gcePersistentDisk;
      if (disk === undefined) return undefined;
      const partition = disk.partition ? String(disk.partition) : "";
      return { volumeHandle: gceHandle(volume, disk.pdName), ...defined(disk), volumeAttributes: { partition } };
    },
    parameters: { fstype },
  },
  {
    name: "kubernetes.io/cinder",
    driver: "cinder.csi.openstack.org",
    field: "cinder",
    zoneKey: "topology.cinder.csi.openstack.org/zone",
    source: ({ spec: { cinder } }) => cinder && { volumeHandle: cinder.volumeID, ...defined(cinder) },
    parameters: { fstype },
  },
  {
    name: "kubernetes.io/azure-disk",
    driver: "disk.csi.azure.com",
    field: "azureDisk",
    zoneKey: "topology.disk.csi.azure.com/zone",
    source: ({ spec: { azureDisk: disk } }) => {
      if (disk === undefined) return undefined;
      if (disk.kind !== undefined && disk.kind.toLowerCase() !== "managed")
        throw new TripodError("invalid", `azureDisk ${disk.diskName}: kind ${disk.kind} has no CSI driver`);
      return {
        volumeHandle: disk.diskURI,
        ...defined(disk),
        volumeAttributes: {
          kind: "Managed",
          ...(disk.cachingMode === undefined ? {} : { cachingmode: disk.cachingMode }),
          ...(disk.fsType === undefined ? {} : { fstype: disk.fsType }),
        },
      };
    },
  },
  { name: "kubernetes.io/azure-file", driver: "file.csi.azure.com", field: "azureFile", source: azureFileSource },
  {
    name: "kubernetes.io/vsphere-volume",
    driver: "csi.vsphere.vmware.com",
    field: "vsphereVolume",
    zoneKey: "topology.csi.vmware.com/zone",
    source: ({ spec: { vsphereVolume: disk } }) =>
      disk && {
        volumeHandle: disk.volumePath,
        ...defined(disk),
        volumeAttributes: disk.storagePolicyName === undefined ? {} : { storagepolicyname: disk.storagePolicyName },
      },
    parameters: { fstype, ...vsphereParameters },
    dropsOthers: true,
  },
  {
    name: "kubernetes.io/portworx-volume",
    driver: "pxd.portworx.com",
    field: "portworxVolume",
    source: portworxSource,
    parameters: {
      "openstorage.io/auth-secret-name": portworxSecret("name"),
      "openstorage.io/auth-secret-namespace": portworxSecret("namespace"),
    },
  },
];
