import type { Controller, GroupController, Node, SnapshotMetadata } from "@tripod/api/csi";
import { TripodError } from "@tripod/base";
import type { ServiceImpl } from "@tripod/grpc";

/** The controller calls that a driver may answer. Their presence is the capability: the SDK answers ControllerGetCapabilities itself. */
export type ControllerMethods = Omit<ServiceImpl<typeof Controller>, "controllerGetCapabilities">;

/** The node calls that a driver may answer. NodeGetInfo, publish and unpublish are what every node service has. */
export type NodeMethods = Omit<ServiceImpl<typeof Node>, "nodeGetCapabilities" | RequiredNodeMethod> &
  Required<Pick<ServiceImpl<typeof Node>, RequiredNodeMethod>>;

/** The calls for snapshots of several volumes at one moment: all three, or no group service at all. */
export type GroupControllerMethods = Required<
  Omit<ServiceImpl<typeof GroupController>, "groupControllerGetCapabilities">
>;

/** The calls that tell which blocks of a snapshot hold data, and which differ between two: a stream of ranges each. */
export type SnapshotMetadataMethods = ServiceImpl<typeof SnapshotMetadata>;

type RequiredNodeMethod = "nodeGetInfo" | "nodePublishVolume" | "nodeUnpublishVolume";

/** What a driver can do that its methods alone do not show. All false unless told. */
export interface DriverFeatures {
  /** Volumes are reachable from some nodes only: they carry an accessible topology. */
  readonly topology?: boolean;
  /** Snapshots, too, are reachable from some places only. */
  readonly snapshotTopology?: boolean;
  /** CreateVolume copies a volume named as its content source. */
  readonly cloneVolume?: boolean;
  /** ControllerPublishVolume can publish read-only. */
  readonly publishReadonly?: boolean;
  /** ListVolumes tells on which nodes a volume is published. */
  readonly listPublishedNodes?: boolean;
  /** The access modes SINGLE_NODE_SINGLE_WRITER and SINGLE_NODE_MULTI_WRITER are known. */
  readonly singleNodeMultiWriter?: boolean;
  /** The node service gives a mounted volume to a group itself. */
  readonly volumeMountGroup?: boolean;
  /** Volumes grow while in use ("online") or only while nowhere published ("offline"). */
  readonly expansion?: "online" | "offline";
}

/**
 * A CSI driver: who it is, and the calls that it answers. A method sees only requests that hold what the specification demands of them
 * (see check-request.ts), never two at a time for the same volume, and reports failure by throwing a TripodError.
 */
export interface Driver {
  /** A domain name, at most 63 characters: hostpath.csi.tripod.dev */
  readonly name: string;
  readonly version: string;
  readonly manifest?: Readonly<Record<string, string>>;
  readonly features?: DriverFeatures;
  readonly controller?: ControllerMethods;
  readonly groupController?: GroupControllerMethods;
  readonly snapshotMetadata?: SnapshotMetadataMethods;
  readonly node?: NodeMethods;
  /** False while the driver cannot serve yet; a throw is a failed precondition. Ready unless told. */
  readonly probe?: () => Promise<boolean>;
}

const namePattern = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$/;

/** Pairs that come together or not at all. */
const pairs: readonly (readonly [
  keyof ControllerMethods | keyof NodeMethods,
  keyof ControllerMethods | keyof NodeMethods,
])[] = [
  ["createVolume", "deleteVolume"],
  ["controllerPublishVolume", "controllerUnpublishVolume"],
  ["createSnapshot", "deleteSnapshot"],
  ["nodeStageVolume", "nodeUnstageVolume"],
];

/** Checks a driver's name and that its calls make sense together; returns it as it is. */
export function defineDriver(driver: Driver): Driver {
  if (!namePattern.test(driver.name))
    throw new TripodError(
      "invalid",
      `CSI driver name ${JSON.stringify(driver.name)}: not a domain name of at most 63 characters`,
    );
  const methods: Readonly<Record<string, unknown>> = { ...driver.controller, ...driver.node };
  for (const [one, other] of pairs) {
    if ((methods[one] === undefined) !== (methods[other] === undefined))
      throw new TripodError(
        "invalid",
        `CSI driver ${driver.name}: ${one} and ${other} come together; add the missing one`,
      );
  }
  if (driver.controller !== undefined && driver.controller.validateVolumeCapabilities === undefined)
    throw new TripodError("invalid", `CSI driver ${driver.name}: a controller must answer validateVolumeCapabilities`);
  return driver;
}
