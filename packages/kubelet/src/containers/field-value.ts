import type { Container, ObjectFieldSelector, Pod, ResourceFieldSelector } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { bytesOf, milliOf } from "../pods/quantities.ts";

/** Facts about a Pod that are not in the Pod's own object yet. */
export interface PodFacts {
  readonly podIps: readonly string[];
  readonly hostIps: readonly string[];
  /** The node's allocatable resources: what a container without limits is told. */
  readonly allocatable: Readonly<Record<string, string>>;
}

const formatMap = (map: Readonly<Record<string, string>> = {}): string =>
  Object.entries(map)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join("\n");

/** The value that a downward-API field path has for `pod`; an unknown path is an "invalid" error. */
export function fieldValue(pod: Pod, { fieldPath }: ObjectFieldSelector, facts: PodFacts): string {
  const { metadata, spec } = pod;
  const subscript = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(fieldPath);
  if (subscript?.[2] !== undefined) {
    return (subscript[1] === "labels" ? metadata.labels : metadata.annotations)?.[subscript[2]] ?? "";
  }
  switch (fieldPath) {
    case "metadata.name":
      return metadata.name ?? "";
    case "metadata.namespace":
      return metadata.namespace ?? "";
    case "metadata.uid":
      return metadata.uid ?? "";
    case "metadata.labels":
      return formatMap(metadata.labels);
    case "metadata.annotations":
      return formatMap(metadata.annotations);
    case "spec.nodeName":
      return spec?.nodeName ?? "";
    case "spec.serviceAccountName":
      return spec?.serviceAccountName ?? "default";
    case "status.hostIP":
      return facts.hostIps[0] ?? "";
    case "status.hostIPs":
      return facts.hostIps.join(",");
    case "status.podIP":
      return facts.podIps[0] ?? "";
    case "status.podIPs":
      return facts.podIps.join(",");
    default:
      throw new TripodError("invalid", `field path ${fieldPath}: is not one that the downward API has`);
  }
}

/** The value of a container's request or limit in units of the selector's divisor, rounded up. */
export function resourceValue(container: Container, selector: ResourceFieldSelector, facts: PodFacts): string {
  const [kind, ...rest] = selector.resource.split(".");
  const resource = rest.join(".");
  if ((kind !== "limits" && kind !== "requests") || resource === "") {
    throw new TripodError("invalid", `resource ${selector.resource}: must be limits.NAME or requests.NAME`);
  }
  const { limits = {}, requests = {} } = container.resources ?? {};
  const own = kind === "limits" ? limits[resource] : (requests[resource] ?? limits[resource]);
  const quantity = own ?? (kind === "limits" ? facts.allocatable[resource] : "0");
  const divisor = selector.divisor === undefined || selector.divisor === "0" ? "1" : selector.divisor;
  if (resource === "cpu") return String(Math.ceil((milliOf(quantity) ?? 0) / (milliOf(divisor) ?? 1000)));
  return String(Math.ceil((bytesOf(quantity) ?? 0) / (bytesOf(divisor) ?? 1)));
}
