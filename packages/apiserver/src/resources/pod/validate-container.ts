import { compareQuantities, type Container, type EnvVar, isQualifiedName, type Probe } from "@tripod/api/kubernetes";
import type { FieldErrors } from "../../registry/field-errors.ts";
import { checkName } from "../../registry/names.ts";
import { isPort, portRange, protocols } from "../port.ts";

const pullPolicies = ["Always", "IfNotPresent", "Never"];
const messagePolicies = ["FallbackToLogsOnError", "File"];
const atLeastZero = "must be greater than or equal to 0";
const standardResources = ["cpu", "memory", "ephemeral-storage"];

/** What a container's checks must know of its Pod. */
export interface ContainerPlace {
  readonly volumes: ReadonlySet<string>;
  readonly isInit: boolean;
}

/** Checks one container; `path` is for example spec.containers[0]. */
export function validateContainer(
  container: Container,
  path: string,
  place: ContainerPlace,
  errors: FieldErrors,
): void {
  if (!container.name) errors.required(`${path}.name`);
  else checkName(container.name, "label", `${path}.name`, errors);
  if (!container.image) errors.required(`${path}.image`);
  else if (container.image !== container.image.trim())
    errors.invalid(`${path}.image`, container.image, "must not have leading or trailing whitespace");
  if (!pullPolicies.includes(container.imagePullPolicy ?? ""))
    errors.notSupported(`${path}.imagePullPolicy`, container.imagePullPolicy, pullPolicies);
  if (!messagePolicies.includes(container.terminationMessagePolicy ?? ""))
    errors.notSupported(`${path}.terminationMessagePolicy`, container.terminationMessagePolicy, messagePolicies);
  if (place.isInit && container.restartPolicy !== undefined && container.restartPolicy !== "Always")
    errors.notSupported(`${path}.restartPolicy`, container.restartPolicy, ["Always"]);
  if (!place.isInit && container.restartPolicy !== undefined)
    errors.forbidden(`${path}.restartPolicy`, "may not be set for non-init containers");
  validatePorts(container, path, errors);
  for (const [index, variable] of (container.env ?? []).entries())
    validateVariable(variable, `${path}.env[${index}]`, errors);
  validateMounts(container, path, place.volumes, errors);
  validateResources(container, path, errors);
  validateProbe(container.livenessProbe, `${path}.livenessProbe`, errors);
  validateProbe(container.readinessProbe, `${path}.readinessProbe`, errors);
  validateProbe(container.startupProbe, `${path}.startupProbe`, errors);
  for (const name of ["livenessProbe", "startupProbe"] as const) {
    const threshold = container[name]?.successThreshold;
    if (threshold !== undefined && threshold !== 1)
      errors.invalid(`${path}.${name}.successThreshold`, threshold, "must be 1");
  }
}

function validatePorts(container: Container, path: string, errors: FieldErrors): void {
  const names = new Set<string>();
  for (const [index, port] of (container.ports ?? []).entries()) {
    const at = `${path}.ports[${index}]`;
    if (port.name) {
      if (port.name.length > 15) errors.invalid(`${at}.name`, port.name, "must be no more than 15 characters");
      if (!/^[-a-z0-9]+$/.test(port.name))
        errors.invalid(
          `${at}.name`,
          port.name,
          "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        );
      else if (!/[a-z]/.test(port.name))
        errors.invalid(`${at}.name`, port.name, "must contain at least one letter (a-z)");
      if (names.has(port.name)) errors.duplicate(`${at}.name`, port.name);
      names.add(port.name);
    }
    if (!port.containerPort) errors.required(`${at}.containerPort`);
    else if (!isPort(port.containerPort)) errors.invalid(`${at}.containerPort`, port.containerPort, portRange);
    if (port.hostPort && !isPort(port.hostPort)) errors.invalid(`${at}.hostPort`, port.hostPort, portRange);
    if (!protocols.includes(port.protocol ?? "")) errors.notSupported(`${at}.protocol`, port.protocol, protocols);
  }
}

function validateVariable({ name, value, valueFrom }: EnvVar, at: string, errors: FieldErrors): void {
  if (!name) errors.required(`${at}.name`);
  else if (!/^[ -<>-~]+$/.test(name))
    errors.invalid(
      `${at}.name`,
      name,
      "a valid environment variable name must consist only of printable ASCII characters other than '='",
    );
  if (valueFrom === undefined) return;
  const sources = Object.keys(valueFrom);
  if (value) errors.invalid(`${at}.valueFrom`, "", "may not be specified when `value` is not empty");
  if (sources.length === 0)
    errors.invalid(
      `${at}.valueFrom`,
      "",
      "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
    );
  if (sources.length > 1) errors.invalid(`${at}.valueFrom`, "", "may not have more than one field specified at a time");
  for (const kind of ["configMapKeyRef", "secretKeyRef"] as const) {
    if (valueFrom[kind] === undefined) continue;
    if (!valueFrom[kind].name) errors.required(`${at}.valueFrom.${kind}.name`);
    if (!valueFrom[kind].key) errors.required(`${at}.valueFrom.${kind}.key`);
  }
  if (valueFrom.fieldRef !== undefined && !valueFrom.fieldRef.fieldPath)
    errors.required(`${at}.valueFrom.fieldRef.fieldPath`);
}

function validateMounts(container: Container, path: string, volumes: ReadonlySet<string>, errors: FieldErrors): void {
  const taken = new Set<string>();
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    const at = `${path}.volumeMounts[${index}]`;
    if (!mount.name) errors.required(`${at}.name`);
    else if (!volumes.has(mount.name)) errors.notFound(`${at}.name`, mount.name);
    if (!mount.mountPath) errors.required(`${at}.mountPath`);
    else if (taken.has(mount.mountPath)) errors.invalid(`${at}.mountPath`, mount.mountPath, "must be unique");
    taken.add(mount.mountPath);
    for (const key of ["subPath", "subPathExpr"] as const) {
      const value = mount[key];
      if (!value) continue;
      if (value.startsWith("/")) errors.invalid(`${at}.${key}`, value, "must be a relative path");
      if (value.split("/").includes("..")) errors.invalid(`${at}.${key}`, value, "must not contain '..'");
    }
    if (mount.subPath && mount.subPathExpr)
      errors.invalid(`${at}.subPathExpr`, mount.subPathExpr, "subPathExpr and subPath are mutually exclusive");
  }
  for (const [index, device] of (container.volumeDevices ?? []).entries()) {
    const at = `${path}.volumeDevices[${index}]`;
    if (!device.name) errors.required(`${at}.name`);
    else if (!volumes.has(device.name)) errors.notFound(`${at}.name`, device.name);
    if (!device.devicePath) errors.required(`${at}.devicePath`);
    else if (taken.has(device.devicePath)) errors.invalid(`${at}.devicePath`, device.devicePath, "must be unique");
    taken.add(device.devicePath);
  }
}

const isHugePages = (name: string): boolean => name.startsWith("hugepages-");

function validateResources({ resources }: Container, path: string, errors: FieldErrors): void {
  const { limits = {}, requests = {} } = resources ?? {};
  for (const [list, field] of [
    [limits, `${path}.resources.limits`],
    [requests, `${path}.resources.requests`],
  ] as const) {
    for (const [name, amount] of Object.entries(list)) {
      const isStandard = standardResources.includes(name) || isHugePages(name);
      if (!isStandard && (!isQualifiedName(name) || !name.includes("/")))
        errors.invalid(`${field}[${name}]`, name, "must be a standard resource type or fully qualified");
      if (compareQuantities(amount, "0") < 0) errors.invalid(`${field}[${name}]`, amount, atLeastZero);
    }
  }
  const named = Object.keys({ ...limits, ...requests });
  if (named.some(isHugePages) && !named.some((name) => name === "cpu" || name === "memory"))
    errors.forbidden(`${path}.resources`, "HugePages require cpu or memory");
  for (const [name, request] of Object.entries(requests)) {
    const limit = limits[name];
    if (limit === undefined && isHugePages(name))
      errors.required(`${path}.resources.limits`, "Limit must be set for non overcommitable resources");
    else if (limit !== undefined && isHugePages(name) && compareQuantities(request, limit) !== 0)
      errors.invalid(`${path}.resources.requests`, request, `must be equal to ${name} limit of ${limit}`);
    else if (limit !== undefined && compareQuantities(request, limit) > 0)
      errors.invalid(`${path}.resources.requests`, request, `must be less than or equal to ${name} limit of ${limit}`);
  }
}

const handlers = ["exec", "httpGet", "tcpSocket", "grpc"] as const;

function validateProbe(probe: Probe | undefined, at: string, errors: FieldErrors): void {
  if (probe === undefined) return;
  const named = handlers.filter((each) => probe[each] !== undefined);
  if (named.length === 0) errors.required(at, "must specify a handler type");
  for (const extra of named.slice(1)) errors.forbidden(`${at}.${extra}`, "may not specify more than 1 handler type");
  if (probe.exec !== undefined && (probe.exec.command ?? []).length === 0) errors.required(`${at}.exec.command`);
  for (const kind of ["httpGet", "tcpSocket"] as const) {
    const port = probe[kind]?.port;
    if (typeof port === "number" && !isPort(port)) errors.invalid(`${at}.${kind}.port`, port, portRange);
  }
  const numbers = [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
  ] as const;
  for (const name of numbers) {
    const value = probe[name];
    if (value !== undefined && value < 0) errors.invalid(`${at}.${name}`, value, atLeastZero);
  }
}
