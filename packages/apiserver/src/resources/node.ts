import type { Node } from "@tripod/api/kubernetes";
import { checkLabels } from "../registry/names.ts";
import { defineResource } from "../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../table/column.ts";

const rolePrefix = "node-role.kubernetes.io/";

function statusText({ spec, status }: Node): string {
  const ready = status?.conditions?.find((each) => each.type === "Ready");
  const state = ready === undefined ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady";
  return spec?.unschedulable === true ? `${state},SchedulingDisabled` : state;
}

function roles({ metadata: { labels = {} } }: Node): string {
  const found = Object.entries(labels).flatMap(([key, value]) => {
    if (key.startsWith(rolePrefix) && key.length > rolePrefix.length) return [key.slice(rolePrefix.length)];
    return key === "kubernetes.io/role" && value !== "" ? [value] : [];
  });
  return found.length === 0 ? "<none>" : [...new Set(found)].sort().join(",");
}

const address = ({ status }: Node, type: string): string =>
  status?.addresses?.find((each) => each.type === type)?.address ?? "<none>";

export const nodes = defineResource<Node>({
  group: "",
  version: "v1",
  kind: "Node",
  plural: "nodes",
  singular: "node",
  shortNames: ["no"],
  namespaced: false,
  nameRule: "subdomain",
  hasStatus: true,
  columns: [
    nameColumn,
    textColumn("Status", statusText),
    textColumn("Roles", roles),
    ageColumn,
    textColumn<Node>("Version", ({ status }) => status?.nodeInfo?.kubeletVersion),
    textColumn<Node>("Internal-IP", (node) => address(node, "InternalIP"), { wide: true }),
    textColumn<Node>("External-IP", (node) => address(node, "ExternalIP"), { wide: true }),
    textColumn<Node>("OS-Image", ({ status }) => status?.nodeInfo?.osImage || "<unknown>", { wide: true }),
    textColumn<Node>("Kernel-Version", ({ status }) => status?.nodeInfo?.kernelVersion || "<unknown>", { wide: true }),
    textColumn<Node>("Container-Runtime", ({ status }) => status?.nodeInfo?.containerRuntimeVersion || "<unknown>", {
      wide: true,
    }),
  ],
  selectableFields: ({ spec }) => ({ "spec.unschedulable": String(spec?.unschedulable ?? false) }),
  prepareCreate(node) {
    node.spec ??= {};
  },
  prepareUpdate(node) {
    node.spec ??= {};
  },
  validate({ spec }, errors) {
    for (const [index, taint] of (spec?.taints ?? []).entries()) {
      const at = `spec.taints[${index}]`;
      checkLabels({ [taint.key ?? ""]: taint.value ?? "" }, at, errors);
      const effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
      if (!effects.includes(taint.effect ?? "")) errors.notSupported(`${at}.effect`, taint.effect, effects);
    }
  },
  validateUpdate({ spec }, old, errors) {
    if (old.spec?.podCIDR && spec?.podCIDR !== old.spec.podCIDR)
      errors.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid');
    if (old.spec?.providerID && spec?.providerID !== old.spec.providerID)
      errors.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid');
  },
});
