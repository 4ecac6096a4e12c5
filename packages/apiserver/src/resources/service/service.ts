import type { Service } from "@tripod/api/kubernetes";
import { defineResource, type ResourceContext } from "../../registry/resource.ts";
import { serviceColumns } from "./service-columns.ts";
import { validateService, validateServiceUpdate } from "./validate-service.ts";

/** Says of a Service that lives by an address what is not done for it: nothing gives one out, nothing forwards what is sent there. */
function warnOfAddress({ spec }: Service, { warn }: Pick<ResourceContext, "warn">): void {
  if (spec.type === "ExternalName" || spec.clusterIP === "None") return;
  const address = spec.clusterIP ? `the cluster IP ${spec.clusterIP} is` : "it gets no cluster IP, and is";
  warn(`spec.type: this Service is kept, but ${address} not served: there is no service proxy`);
}

export const services = defineResource<Service>({
  group: "",
  version: "v1",
  kind: "Service",
  plural: "services",
  singular: "service",
  shortNames: ["svc"],
  categories: ["all"],
  namespaced: true,
  nameRule: "label",
  hasStatus: true,
  columns: serviceColumns,
  selectableFields: ({ spec }) => ({ "spec.clusterIP": spec?.clusterIP ?? "", "spec.type": spec?.type ?? "" }),
  applyDefaults(service) {
    service.spec ??= {};
    const { spec } = service;
    spec.type ??= "ClusterIP";
    spec.sessionAffinity ??= "None";
    if (spec.sessionAffinity === "ClientIP") spec.sessionAffinityConfig ??= { clientIP: { timeoutSeconds: 10_800 } };
    for (const port of spec.ports ?? []) {
      port.protocol ??= "TCP";
      port.targetPort ??= port.port;
    }
    if (spec.type === "ExternalName") return;
    spec.internalTrafficPolicy ??= "Cluster";
    const [first] = spec.clusterIPs ?? [];
    if (spec.clusterIP && first === undefined) spec.clusterIPs = [spec.clusterIP];
    else if (first !== undefined) spec.clusterIP ||= first;
    if (spec.type === "ClusterIP") return;
    spec.externalTrafficPolicy ??= "Cluster";
    if (spec.type === "LoadBalancer") spec.allocateLoadBalancerNodePorts ??= true;
  },
  prepareCreate(service, context) {
    service.status = { loadBalancer: {} };
    warnOfAddress(service, context);
  },
  prepareUpdate({ spec }, old) {
    // A manifest that is applied again by replacing does not name the address that was given.
    if (spec.type === "ExternalName" || !old.spec.clusterIP || spec.clusterIP) return;
    spec.clusterIP = old.spec.clusterIP;
    if (old.spec.clusterIPs !== undefined) spec.clusterIPs ??= old.spec.clusterIPs;
  },
  validate: validateService,
  validateUpdate: validateServiceUpdate,
});
