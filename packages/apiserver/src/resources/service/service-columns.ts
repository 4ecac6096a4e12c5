import type { Service, ServicePort } from "@tripod/api/kubernetes";
import { ageColumn, type Column, nameColumn, textColumn } from "../../table/column.ts";

const listText = (texts: readonly string[]): string => (texts.length === 0 ? "<none>" : texts.join(","));

function externalAddress({ spec, status }: Service): string {
  if (spec.type === "ExternalName") return spec.externalName ?? "<none>";
  const given = spec.externalIPs ?? [];
  if (spec.type !== "LoadBalancer") return listText(given);
  const ingress = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || hostname || "");
  const all = [...ingress, ...given];
  return all.length === 0 ? "<pending>" : all.join(",");
}

const portText = ({ port, nodePort, protocol }: ServicePort): string =>
  nodePort ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`;

const selectorText = ({ spec: { selector = {} } }: Service): string =>
  listText(Object.entries(selector).map(([key, value]) => `${key}=${value}`));

export const serviceColumns: readonly Column<Service>[] = [
  nameColumn,
  textColumn<Service>("Type", ({ spec }) => spec.type),
  textColumn<Service>("Cluster-IP", ({ spec }) => spec.clusterIP || "<none>", {
    description: "None for a headless Service; <none> where there is no address.",
  }),
  textColumn<Service>("External-IP", externalAddress),
  textColumn<Service>("Port(s)", ({ spec }) => listText((spec.ports ?? []).map(portText))),
  ageColumn,
  textColumn<Service>("Selector", selectorText, { wide: true }),
];
