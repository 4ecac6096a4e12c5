import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  ControllerServiceCapability_RPC_Type as Rpc,
  type CreateVolumeRequestSchema,
  type Topology,
  type Volume,
  type VolumeContentSourceSchema,
} from "@tripod/api/csi";
import {
  type CSINode,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  quantityValue,
  type SecretReference,
  type StorageClass,
  type Stored,
  type VolumeAttributesClass,
} from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { volumeCapability } from "../csi/capability.ts";
import { claimTemplateValues, secretReference } from "../csi/secrets.ts";
import { type Segments, segmentsKey, segmentsOf } from "../csi/segments.ts";
import { annotations } from "../volumes/annotations.ts";
import { driverParameters, reservedPrefix } from "../csi/class-parameters.ts";
import { sizeText } from "../volumes/size-text.ts";
import { claimReference } from "../volumes/volume-state.ts";
import { spread } from "./spread.ts";

/** Keeps a volume's object until its storage is gone. */
export const provisionerFinalizer = "external-provisioner.volume.kubernetes.io/finalizer";

export interface ProvisionFacts {
  readonly claim: Stored<PersistentVolumeClaim>;
  readonly class: StorageClass;
  readonly driver: {
    readonly name: string;
    readonly rpcs: ReadonlySet<Rpc>;
    readonly hasTopology: boolean;
  };
  /** Nodes with their CSINode; the first is the one selected for the claim, if any is. */
  readonly nodes: readonly { readonly node: Node; readonly csiNode: CSINode | undefined }[];
  /** The first of `nodes` was selected. */
  readonly hasSelectedNode: boolean;
  /** What the claim names as its VolumeAttributesClass, where that is there. */
  readonly attributes?: VolumeAttributesClass | undefined;
  /** What the driver copies into the new volume. */
  readonly source?: MessageInitShape<typeof VolumeContentSourceSchema>;
}

type Secret = Required<SecretReference>;

/** The secrets of a volume, by what they are for. */
export interface VolumeSecrets {
  readonly provisioner: Secret | undefined;
  readonly controllerPublish: Secret | undefined;
  readonly nodeStage: Secret | undefined;
  readonly nodePublish: Secret | undefined;
  readonly controllerExpand: Secret | undefined;
  readonly controllerModify: Secret | undefined;
  readonly nodeExpand: Secret | undefined;
}

export interface ProvisionPlan {
  readonly name: string;
  /** Without secrets' content, which is read only when the call is made. */
  readonly request: MessageInitShape<typeof CreateVolumeRequestSchema>;
  readonly secrets: VolumeSecrets;
  readonly fsType: string | undefined;
}

/** The name of the volume for a claim; the same for every try. */
export const volumeNameOf = (claim: PersistentVolumeClaim): string => `pvc-${claim.metadata.uid}`;

/** Nobody wants the volume of a claim that is being deleted, or has another; it is only asked for to be found. */
export const isUnwanted = (claim: PersistentVolumeClaim): boolean =>
  claim.metadata.deletionTimestamp !== undefined || ![undefined, volumeNameOf(claim)].includes(claim.spec.volumeName);

/** The parameters of a StorageClass that are its driver's. */
export function volumeParameters({ parameters }: StorageClass): Record<string, string> {
  const { fstype: _old, ...rest } = driverParameters(parameters);
  return rest;
}

/** Whom a volume is for, as external-provisioner tells drivers with --extra-create-metadata: folders are named by it, and disks tagged. */
const claimParameters = ({ metadata }: Stored<PersistentVolumeClaim>, volumeName: string): Record<string, string> => ({
  [`${reservedPrefix}pvc/name`]: metadata.name,
  [`${reservedPrefix}pvc/namespace`]: metadata.namespace ?? "default",
  [`${reservedPrefix}pv/name`]: volumeName,
});

/** Pure: the CreateVolume call for a claim. Throws "invalid" for what cannot be asked of a driver. */
export function planProvision(facts: ProvisionFacts): ProvisionPlan {
  const { claim, class: storageClass, driver } = facts;
  if (claim.spec.selector !== undefined)
    throw new TripodError("invalid", "claim.Spec.Selector is not supported for dynamic provisioning");
  const name = volumeNameOf(claim);
  const parameters = storageClass.parameters ?? {};
  const block = claim.spec.volumeMode === "Block";
  const fsType = parameters[`${reservedPrefix}fstype`] ?? parameters.fstype;
  const templateValues = claimTemplateValues(claim, name);
  const secret = (purpose: string): Secret | undefined =>
    secretReference(parameters, purpose, templateValues) ?? secretReference(parameters, "", templateValues);
  const accessModes = claim.spec.accessModes ?? [];
  if (accessModes.length === 0) throw new TripodError("invalid", "the claim has no access mode");
  const capability = { block, fsType, mountFlags: storageClass.mountOptions };
  const limit = claim.spec.resources?.limits?.storage;
  const topology = driver.hasTopology ? topologyOf(facts) : undefined;
  return {
    name,
    fsType: block ? undefined : fsType,
    request: {
      name,
      capacityRange: {
        requiredBytes: quantityValue(claim.spec.resources?.requests?.storage ?? "0"),
        ...(limit === undefined ? {} : { limitBytes: quantityValue(limit) }),
      },
      volumeCapabilities: accessModes.map((mode) => volumeCapability(mode, capability, driver.rpcs)),
      parameters: { ...volumeParameters(storageClass), ...claimParameters(claim, name) },
      ...mutableParameters(facts),
      ...(topology === undefined ? {} : { accessibilityRequirements: topology }),
      ...(facts.source === undefined ? {} : { volumeContentSource: facts.source }),
    },
    secrets: {
      provisioner: secret("provisioner"),
      controllerPublish: secret("controller-publish"),
      nodeStage: secret("node-stage"),
      nodePublish: secret("node-publish"),
      controllerExpand: secret("controller-expand"),
      controllerModify: secret("controller-modify"),
      nodeExpand: secret("node-expand"),
    },
  };
}

/** The parameters that the volume begins with, and that may be changed later. */
function mutableParameters({ claim, driver, attributes }: ProvisionFacts) {
  const name = claim.spec.volumeAttributesClassName ?? "";
  if (name === "" || isUnwanted(claim)) return {};
  if (!driver.rpcs.has(Rpc.MODIFY_VOLUME))
    throw new TripodError("invalid", `driver ${driver.name} does not support VolumeAttributesClass`);
  if (attributes === undefined)
    throw new TripodError("failed-precondition", `volumeattributesclass.storage.k8s.io "${name}" not found`);
  if (attributes.driverName !== driver.name)
    throw new TripodError("invalid", `VAC ${name} is for driver ${attributes.driverName}, not ${driver.name}`);
  return { mutableParameters: { ...attributes.parameters } };
}

function topologyOf({ claim, class: storageClass, driver, nodes, hasSelectedNode }: ProvisionFacts) {
  const [selected] = nodes;
  if (hasSelectedNode && selected !== undefined) {
    const segments = segmentsOf(driver.name, selected.node, selected.csiNode);
    if (segments === undefined)
      throw new TripodError(
        "failed-precondition",
        `driver ${driver.name} has not registered on node ${selected.node.metadata.name} yet`,
      );
    return { requisite: [{ segments }], preferred: [{ segments }] };
  }
  const distinct = new Map<string, Segments>();
  for (const { node, csiNode } of nodes) {
    const segments = segmentsOf(driver.name, node, csiNode);
    if (segments !== undefined && allows(storageClass, segments)) distinct.set(segmentsKey(segments), segments);
  }
  if (distinct.size === 0)
    throw new TripodError(
      "failed-precondition",
      `driver ${driver.name} has not registered on any node that the class allows`,
    );
  const places = [...distinct].toSorted(([one], [other]) => (one < other ? -1 : 1));
  const requisite = places.map(([, segments]) => ({ segments }));
  return { requisite, preferred: spread(claim.metadata.name ?? "", requisite) };
}

function allows(storageClass: StorageClass, segments: Segments): boolean {
  const terms = storageClass.allowedTopologies ?? [];
  return (
    terms.length === 0 ||
    terms.some((term) =>
      (term.matchLabelExpressions ?? []).every(
        ({ key, values }) => segments[key] !== undefined && values.includes(segments[key]),
      ),
    )
  );
}

const defined = (key: string, reference: SecretReference | undefined): object =>
  reference === undefined ? {} : { [key]: reference };

/** Pure: the PersistentVolume for what a driver made. */
export function volumeObject(facts: ProvisionFacts, plan: ProvisionPlan, made: Volume): PersistentVolume {
  const { claim, class: storageClass, driver } = facts;
  const { secrets } = plan;
  const bytes =
    made.capacityBytes > 0n ? made.capacityBytes : quantityValue(claim.spec.resources?.requests?.storage ?? "0");
  const policy = storageClass.reclaimPolicy ?? "Delete";
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: {
      name: plan.name,
      annotations: {
        [annotations.provisionedBy]: driver.name,
        [annotations.deletionSecretName]: secrets.provisioner?.name ?? "",
        [annotations.deletionSecretNamespace]: secrets.provisioner?.namespace ?? "",
        ...(secrets.controllerModify === undefined
          ? {}
          : {
              [annotations.modifySecretName]: secrets.controllerModify.name,
              [annotations.modifySecretNamespace]: secrets.controllerModify.namespace,
            }),
      },
      ...(policy === "Delete" ? { finalizers: [provisionerFinalizer] } : {}),
    },
    spec: {
      capacity: { storage: sizeText(bytes) },
      accessModes: claim.spec.accessModes ?? [],
      claimRef: claimReference(claim),
      persistentVolumeReclaimPolicy: policy,
      storageClassName: storageClass.metadata.name ?? "",
      volumeMode: claim.spec.volumeMode ?? "Filesystem",
      ...(storageClass.mountOptions === undefined ? {} : { mountOptions: storageClass.mountOptions }),
      ...(claim.spec.volumeAttributesClassName
        ? { volumeAttributesClassName: claim.spec.volumeAttributesClassName }
        : {}),
      ...nodeAffinityOf(made.accessibleTopology),
      csi: {
        driver: driver.name,
        volumeHandle: made.volumeId,
        ...(plan.fsType === undefined ? {} : { fsType: plan.fsType }),
        volumeAttributes: {
          ...made.volumeContext,
          "storage.kubernetes.io/csiProvisionerIdentity": `tripod-${driver.name}`,
        },
        ...defined("controllerPublishSecretRef", secrets.controllerPublish),
        ...defined("nodeStageSecretRef", secrets.nodeStage),
        ...defined("nodePublishSecretRef", secrets.nodePublish),
        ...defined("controllerExpandSecretRef", secrets.controllerExpand),
        ...defined("nodeExpandSecretRef", secrets.nodeExpand),
      },
    },
  };
}

function nodeAffinityOf(topologies: readonly Topology[]): Pick<PersistentVolume["spec"], "nodeAffinity"> {
  const nodeSelectorTerms = topologies
    .filter(({ segments }) => Object.keys(segments).length > 0)
    .map(({ segments }) => ({
      matchExpressions: Object.entries(segments)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, value]) => ({ key, operator: "In" as const, values: [value] })),
    }));
  return nodeSelectorTerms.length === 0 ? {} : { nodeAffinity: { required: { nodeSelectorTerms } } };
}
