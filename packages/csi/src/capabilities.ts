import {
  ControllerServiceCapability_RPC_Type as ControllerRpc,
  NodeServiceCapability_RPC_Type as NodeRpc,
  PluginCapability_Service_Type as Service,
  PluginCapability_VolumeExpansion_Type as Expansion,
} from "@tripod/api/csi";
import type { ControllerMethods, Driver, DriverFeatures, NodeMethods } from "./driver.ts";

type Flag = Exclude<keyof DriverFeatures, "topology" | "snapshotTopology" | "expansion">;

const controllerCapabilities: readonly { rpc: ControllerRpc; method?: keyof ControllerMethods; feature?: Flag }[] = [
  { rpc: ControllerRpc.CREATE_DELETE_VOLUME, method: "createVolume" },
  { rpc: ControllerRpc.PUBLISH_UNPUBLISH_VOLUME, method: "controllerPublishVolume" },
  { rpc: ControllerRpc.LIST_VOLUMES, method: "listVolumes" },
  { rpc: ControllerRpc.GET_CAPACITY, method: "getCapacity" },
  { rpc: ControllerRpc.CREATE_DELETE_SNAPSHOT, method: "createSnapshot" },
  { rpc: ControllerRpc.LIST_SNAPSHOTS, method: "listSnapshots" },
  { rpc: ControllerRpc.GET_SNAPSHOT, method: "getSnapshot" },
  { rpc: ControllerRpc.EXPAND_VOLUME, method: "controllerExpandVolume" },
  { rpc: ControllerRpc.GET_VOLUME, method: "controllerGetVolume" },
  { rpc: ControllerRpc.MODIFY_VOLUME, method: "controllerModifyVolume" },
  { rpc: ControllerRpc.GET_VOLUME_HEALTH, method: "controllerGetVolumeHealth" },
  { rpc: ControllerRpc.LIST_VOLUME_HEALTH, method: "controllerListVolumeHealth" },
  { rpc: ControllerRpc.CLONE_VOLUME, feature: "cloneVolume" },
  { rpc: ControllerRpc.PUBLISH_READONLY, feature: "publishReadonly" },
  { rpc: ControllerRpc.LIST_VOLUMES_PUBLISHED_NODES, feature: "listPublishedNodes" },
  { rpc: ControllerRpc.SINGLE_NODE_MULTI_WRITER, feature: "singleNodeMultiWriter" },
];

const nodeCapabilities: readonly { rpc: NodeRpc; method?: keyof NodeMethods; feature?: Flag }[] = [
  { rpc: NodeRpc.STAGE_UNSTAGE_VOLUME, method: "nodeStageVolume" },
  { rpc: NodeRpc.GET_VOLUME_STATS, method: "nodeGetVolumeStats" },
  { rpc: NodeRpc.EXPAND_VOLUME, method: "nodeExpandVolume" },
  { rpc: NodeRpc.GET_VOLUME_HEALTH, method: "nodeGetVolumeHealth" },
  { rpc: NodeRpc.GET_STORAGE_HEALTH, method: "nodeGetStorageHealth" },
  { rpc: NodeRpc.SINGLE_NODE_MULTI_WRITER, feature: "singleNodeMultiWriter" },
  { rpc: NodeRpc.VOLUME_MOUNT_GROUP, feature: "volumeMountGroup" },
];

/** What ControllerGetCapabilities answers. */
export const controllerCapabilitiesOf = ({ controller, features }: Driver): ControllerRpc[] =>
  controllerCapabilities
    .filter(({ method, feature }) =>
      method === undefined ? feature !== undefined && features?.[feature] === true : controller?.[method] !== undefined,
    )
    .map(({ rpc }) => rpc);

/** What NodeGetCapabilities answers. */
export const nodeCapabilitiesOf = ({ node, features }: Driver): NodeRpc[] =>
  nodeCapabilities
    .filter(({ method, feature }) =>
      method === undefined ? feature !== undefined && features?.[feature] === true : node?.[method] !== undefined,
    )
    .map(({ rpc }) => rpc);

/** What GetPluginCapabilities answers: services, then how volumes grow. */
export function pluginCapabilitiesOf(driver: Driver): { services: Service[]; expansion?: Expansion } {
  const { features } = driver;
  const services: Service[] = [];
  if (driver.controller !== undefined) services.push(Service.CONTROLLER_SERVICE);
  if (driver.groupController !== undefined) services.push(Service.GROUP_CONTROLLER_SERVICE);
  if (driver.snapshotMetadata !== undefined) services.push(Service.SNAPSHOT_METADATA_SERVICE);
  if (features?.topology === true) services.push(Service.VOLUME_ACCESSIBILITY_CONSTRAINTS);
  if (features?.snapshotTopology === true) services.push(Service.SNAPSHOT_ACCESSIBILITY_CONSTRAINTS);
  if (features?.expansion === undefined) return { services };
  return { services, expansion: features.expansion === "online" ? Expansion.ONLINE : Expansion.OFFLINE };
}
