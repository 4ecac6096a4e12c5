import { isIP } from "node:net";
import type { Container, Pod, PodSpec } from "@tripod/api/kubernetes";
import type { FieldErrors } from "../../registry/field-errors.ts";
import { checkLabels, checkName } from "../../registry/names.ts";
import { validateContainer } from "./validate-container.ts";
import { validateVolumes } from "./validate-volumes.ts";

const restartPolicies = ["Always", "OnFailure", "Never"];
const dnsPolicies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const taintEffects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
const tolerationOperators = ["Equal", "Exists"];
const largestId = 2_147_483_647;

/** Checks a Pod in upstream's words, with upstream's field paths. */
export function validatePod({ spec }: Pod, errors: FieldErrors): void {
  const volumes = validateVolumes(spec.volumes ?? [], errors);
  if (spec.containers.length === 0) errors.required("spec.containers");
  const names = new Set<string>();
  const check = (list: readonly Container[], field: string, isInit: boolean): void => {
    for (const [index, container] of list.entries()) {
      validateContainer(container, `${field}[${index}]`, { volumes, isInit }, errors);
      if (container.name && names.has(container.name)) errors.duplicate(`${field}[${index}].name`, container.name);
      names.add(container.name);
    }
  };
  check(spec.containers, "spec.containers", false);
  check(spec.initContainers ?? [], "spec.initContainers", true);
  checkHostPorts(spec, errors);
  if (!restartPolicies.includes(spec.restartPolicy ?? ""))
    errors.notSupported("spec.restartPolicy", spec.restartPolicy, restartPolicies);
  checkDns(spec, errors);
  const { terminationGracePeriodSeconds: grace, activeDeadlineSeconds: deadline } = spec;
  if (grace !== undefined && grace < 0)
    errors.invalid("spec.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0");
  if (deadline !== undefined && (deadline < 1 || deadline > largestId))
    errors.invalid("spec.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive");
  checkLabels(spec.nodeSelector, "spec.nodeSelector", errors);
  if (spec.nodeName) checkName(spec.nodeName, "subdomain", "spec.nodeName", errors);
  if (spec.serviceAccountName) checkName(spec.serviceAccountName, "subdomain", "spec.serviceAccountName", errors);
  if (spec.hostname) checkName(spec.hostname, "label", "spec.hostname", errors);
  if (spec.subdomain) checkName(spec.subdomain, "label", "spec.subdomain", errors);
  checkTolerations(spec, errors);
  checkSecurity(spec, errors);
  for (const [index, alias] of (spec.hostAliases ?? []).entries()) {
    if (isIP(alias.ip ?? "") === 0)
      errors.invalid(
        `spec.hostAliases[${index}].ip`,
        alias.ip ?? "",
        "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
      );
  }
}

function checkHostPorts(spec: PodSpec, errors: FieldErrors): void {
  const taken = new Set<string>();
  for (const [index, container] of spec.containers.entries()) {
    for (const [number, port] of (container.ports ?? []).entries()) {
      if (!port.hostPort) continue;
      const at = `spec.containers[${index}].ports[${number}]`;
      if (spec.hostNetwork === true && port.hostPort !== port.containerPort)
        errors.invalid(`${at}.containerPort`, port.containerPort, "must match `hostPort` when `hostNetwork` is true");
      const key = `${port.protocol}/${port.hostIP ?? ""}/${port.hostPort}`;
      if (taken.has(key)) errors.duplicate(`${at}.hostPort`, key);
      taken.add(key);
    }
  }
}

function checkDns({ dnsPolicy, dnsConfig }: PodSpec, errors: FieldErrors): void {
  if (!dnsPolicies.includes(dnsPolicy ?? "")) errors.notSupported("spec.dnsPolicy", dnsPolicy, dnsPolicies);
  const servers = dnsConfig?.nameservers ?? [];
  if (dnsPolicy === "None" && dnsConfig === undefined)
    errors.required("spec.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None");
  else if (dnsPolicy === "None" && servers.length === 0)
    errors.required("spec.dnsConfig.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None");
  if (servers.length > 3)
    errors.invalid("spec.dnsConfig.nameservers", servers, "must not have more than 3 nameservers");
  for (const [index, server] of servers.entries())
    if (isIP(server) === 0)
      errors.invalid(
        `spec.dnsConfig.nameservers[${index}]`,
        server,
        "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
      );
}

function checkTolerations(spec: PodSpec, errors: FieldErrors): void {
  for (const [index, { key, operator = "Equal", value, effect, tolerationSeconds }] of (
    spec.tolerations ?? []
  ).entries()) {
    const at = `spec.tolerations[${index}]`;
    if (key) checkLabels({ [key]: "" }, `${at}.key`, errors);
    else if (operator !== "Exists")
      errors.invalid(
        `${at}.operator`,
        operator,
        'operator must be Exists when `key` is empty, which means "match all values and all keys"',
      );
    if (!tolerationOperators.includes(operator)) errors.notSupported(`${at}.operator`, operator, tolerationOperators);
    if (operator === "Exists" && value)
      errors.invalid(`${at}.operator`, { key, operator, value }, "value must be empty when `operator` is 'Exists'");
    if (effect && !taintEffects.includes(effect)) errors.notSupported(`${at}.effect`, effect, taintEffects);
    if (tolerationSeconds !== undefined && effect !== "NoExecute")
      errors.invalid(`${at}.effect`, effect ?? "", "effect must be 'NoExecute' when `tolerationSeconds` is set");
  }
}

function checkSecurity(spec: PodSpec, errors: FieldErrors): void {
  if (spec.hostPID === true && spec.shareProcessNamespace === true)
    errors.invalid(
      "spec.securityContext.shareProcessNamespace",
      true,
      "ShareProcessNamespace and HostPID cannot both be enabled",
    );
  const range = `must be between 0 and ${largestId}, inclusive`;
  const check = (id: number | undefined, field: string): void => {
    if (id !== undefined && (id < 0 || id > largestId)) errors.invalid(field, id, range);
  };
  check(spec.securityContext?.runAsUser, "spec.securityContext.runAsUser");
  check(spec.securityContext?.runAsGroup, "spec.securityContext.runAsGroup");
  check(spec.securityContext?.fsGroup, "spec.securityContext.fsGroup");
  for (const [index, { securityContext: own }] of spec.containers.entries()) {
    check(own?.runAsUser, `spec.containers[${index}].securityContext.runAsUser`);
    check(own?.runAsGroup, `spec.containers[${index}].securityContext.runAsGroup`);
    if (own?.privileged === true && own.allowPrivilegeEscalation === false)
      errors.invalid(
        `spec.containers[${index}].securityContext`,
        "",
        "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
      );
  }
}
