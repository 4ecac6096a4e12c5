import { isIP } from "node:net";
import type { Service, ServicePort, ServiceSpec } from "@tripod/api/kubernetes";
import type { FieldErrors } from "../../registry/field-errors.ts";
import { checkLabels, checkName } from "../../registry/names.ts";
import { isPort, portRange, protocols } from "../port.ts";

const types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const affinities = ["ClientIP", "None"];
const policies = ["Cluster", "Local"];
const longestAffinitySeconds = 86_400;

export function validateService({ spec }: Service, errors: FieldErrors): void {
  const { type = "", clusterIP = "", sessionAffinity = "" } = spec;
  const isHeadless = clusterIP === "None";
  if (!types.includes(type)) errors.notSupported("spec.type", type, types);
  if (!affinities.includes(sessionAffinity)) errors.notSupported("spec.sessionAffinity", sessionAffinity, affinities);
  checkAffinitySeconds(spec, errors);
  checkLabels(spec.selector, "spec.selector", errors);
  for (const field of ["internalTrafficPolicy", "externalTrafficPolicy"] as const) {
    const policy = spec[field];
    if (policy !== undefined && !policies.includes(policy)) errors.notSupported(`spec.${field}`, policy, policies);
  }
  if (type === "ExternalName") {
    const name = spec.externalName?.replace(/\.$/, "");
    if (!name) errors.required("spec.externalName");
    else checkName(name, "subdomain", "spec.externalName", errors);
    for (const field of ["clusterIP", "clusterIPs"] as const)
      if (spec[field]?.length) errors.forbidden(`spec.${field}`, "may not be set when `type` is 'ExternalName'");
  } else {
    checkClusterIPs(spec, errors);
    if (!isHeadless && (spec.ports ?? []).length === 0) errors.required("spec.ports");
    if (isHeadless && type !== "ClusterIP")
      errors.invalid("spec.clusterIPs[0]", clusterIP, `may not be set to 'None' for ${type} services`);
  }
  checkPorts(spec, errors);
}

function checkAffinitySeconds({ sessionAffinity, sessionAffinityConfig }: ServiceSpec, errors: FieldErrors): void {
  if (sessionAffinityConfig === undefined) return;
  const at = "spec.sessionAffinityConfig";
  if (sessionAffinity !== "ClientIP") {
    errors.forbidden(at, "must not be set when session affinity is None");
    return;
  }
  const seconds = sessionAffinityConfig.clientIP?.timeoutSeconds ?? 0;
  if (seconds <= 0 || seconds > longestAffinitySeconds)
    errors.invalid(
      `${at}.clientIP.timeoutSeconds`,
      seconds,
      `must be greater than 0 and less than ${longestAffinitySeconds}`,
    );
}

function checkClusterIPs({ clusterIP = "", clusterIPs = [] }: ServiceSpec, errors: FieldErrors): void {
  if ((clusterIPs[0] ?? "") !== clusterIP)
    errors.invalid("spec.clusterIPs", clusterIPs, "first value must match `clusterIP`");
  if (clusterIPs.length > 2) errors.invalid("spec.clusterIPs", clusterIPs, "may only hold up to 2 values");
  for (const [index, address] of clusterIPs.entries()) {
    const at = `spec.clusterIPs[${index}]`;
    if (address === "None") {
      if (clusterIPs.length > 1) errors.invalid(at, address, "'None' must be the first and only value");
    } else if (isIP(address) === 0) errors.invalid(at, address, "must be a valid IP address");
  }
}

function checkPorts({ ports = [], type }: ServiceSpec, errors: FieldErrors): void {
  const names = new Set<string>();
  const numbers = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const at = `spec.ports[${index}]`;
    if (port.name) {
      checkName(port.name, "label", `${at}.name`, errors);
      if (names.has(port.name)) errors.duplicate(`${at}.name`, port.name);
      names.add(port.name);
    } else if (ports.length > 1) errors.required(`${at}.name`);
    if (!isPort(port.port)) errors.invalid(`${at}.port`, port.port, portRange);
    if (!protocols.includes(port.protocol ?? "")) errors.notSupported(`${at}.protocol`, port.protocol, protocols);
    checkTargetPort(port, at, errors);
    if (port.nodePort && type !== "NodePort" && type !== "LoadBalancer")
      errors.forbidden(`${at}.nodePort`, `may not be used when \`type\` is '${type}'`);
    const number = `${port.protocol} ${port.port}`;
    if (numbers.has(number)) errors.duplicate(at, { protocol: port.protocol, port: port.port });
    numbers.add(number);
  }
}

function checkTargetPort({ targetPort }: ServicePort, at: string, errors: FieldErrors): void {
  if (typeof targetPort === "number") {
    if (!isPort(targetPort)) errors.invalid(`${at}.targetPort`, targetPort, portRange);
  } else if (targetPort !== undefined && !/^(?=.*[a-z])[-a-z0-9]{1,15}$/.test(targetPort))
    errors.invalid(
      `${at}.targetPort`,
      targetPort,
      "must be the name of a container's port: at most 15 of a-z, 0-9 and -, a letter among them",
    );
}

/** An address stays with its Service, unless its type changes to or from one that has none. */
export function validateServiceUpdate({ spec }: Service, old: Service, errors: FieldErrors): void {
  if (spec.type === "ExternalName" || old.spec.type === "ExternalName") return;
  if (old.spec.clusterIP && spec.clusterIP !== old.spec.clusterIP)
    errors.invalid("spec.clusterIPs[0]", spec.clusterIP, "may not change once set");
}
