import type { Node } from "@tripod/api/kubernetes";
import type { ApiObject } from "../api-object.ts";
import { ageColumn, nameColumn, type ResourceDefinition } from "../resource.ts";

const asNode = (object: ApiObject): Node & ApiObject => object as Node & ApiObject; // decoded as one

function statusText(node: Node): string {
  const ready = node.status?.conditions?.find((each) => each.type === "Ready");
  const state = ready === undefined ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady";
  return node.spec?.unschedulable ? `${state},SchedulingDisabled` : state;
}

function roles(node: Node): string {
  const prefix = "node-role.kubernetes.io/";
  const found = Object.keys(node.metadata.labels ?? {}).flatMap((key) =>
    key.startsWith(prefix) ? key.slice(prefix.length) : [],
  );
  return found.length === 0 ? "<none>" : found.sort().join(",");
}

const address = (node: Node, type: string): string =>
  node.status?.addresses?.find((each) => each.type === type)?.address ?? "<none>";

export const nodes: ResourceDefinition = {
  group: "",
  version: "v1",
  kind: "Node",
  plural: "nodes",
  singular: "node",
  shortNames: ["no"],
  namespaced: false,
  nameRule: "subdomain",
  storageName: "nodes",
  columns: [
    nameColumn,
    { name: "Status", type: "string", cell: (object) => statusText(asNode(object)) },
    { name: "Roles", type: "string", cell: (object) => roles(asNode(object)) },
    ageColumn,
    { name: "Version", type: "string", cell: (object) => asNode(object).status?.nodeInfo?.kubeletVersion },
    { name: "Internal-IP", type: "string", priority: 1, cell: (object) => address(asNode(object), "InternalIP") },
    { name: "External-IP", type: "string", priority: 1, cell: (object) => address(asNode(object), "ExternalIP") },
    {
      name: "OS-Image",
      type: "string",
      priority: 1,
      cell: (object) => asNode(object).status?.nodeInfo?.osImage || "<unknown>",
    },
    {
      name: "Kernel-Version",
      type: "string",
      priority: 1,
      cell: (object) => asNode(object).status?.nodeInfo?.kernelVersion || "<unknown>",
    },
    {
      name: "Container-Runtime",
      type: "string",
      priority: 1,
      cell: (object) => asNode(object).status?.nodeInfo?.containerRuntimeVersion || "<unknown>",
    },
  ],
  hasStatus: true,
  subresources: [{ name: "status", verbs: ["get", "patch", "update"] }],
  selectableFields: (object) => ({ "spec.unschedulable": String(asNode(object).spec?.unschedulable ?? false) }),
  prepareCreate(object) {
    asNode(object).spec ??= {};
  },
};
