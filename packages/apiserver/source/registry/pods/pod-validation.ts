import { type Container, compareQuantities, type Pod, type PodSpec, type Volume } from "@tripod/api/kubernetes";
import { isDeepStrictEqual } from "node:util";
import type { FieldErrors } from "../field-errors.ts";
import { checkLabels, checkName } from "../names.ts";

const restartPolicies = ["Always", "OnFailure", "Never"];
const dnsPolicies = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
const pullPolicies = ["Always", "IfNotPresent", "Never"];
const protocols = ["TCP", "UDP", "SCTP"];

/** Checks a Pod as upstream would, in upstream's words for the fields that users get wrong. */
export function validatePod(pod: Pod, errors: FieldErrors): void {
  const { spec } = pod;
  if (spec === undefined) {
    errors.required("spec.containers");
    return;
  }
  const volumes = validateVolumes(spec.volumes ?? [], errors);
  const names = new Set<string>();
  if (spec.containers.length === 0) errors.required("spec.containers");
  const check = (list: readonly Container[], field: string): void => {
    for (const [index, container] of list.entries()) {
      const path = `${field}[${index}]`;
      validateContainer(container, path, volumes, errors);
      if (names.has(container.name)) errors.duplicate(`${path}.name`, container.name);
      names.add(container.name);
    }
  };
  check(spec.containers, "spec.containers");
  check(spec.initContainers ?? [], "spec.initContainers");
  checkHostPorts(spec, errors);
  if (!restartPolicies.includes(spec.restartPolicy ?? ""))
    errors.notSupported("spec.restartPolicy", spec.restartPolicy, restartPolicies);
  if (!dnsPolicies.includes(spec.dnsPolicy ?? "")) errors.notSupported("spec.dnsPolicy", spec.dnsPolicy, dnsPolicies);
  if (spec.dnsPolicy === "None" && (spec.dnsConfig?.nameservers?.length ?? 0) === 0) {
    errors.required("spec.dnsConfig.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None");
  }
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0)
    errors.invalid(
      "spec.terminationGracePeriodSeconds",
      spec.terminationGracePeriodSeconds,
      "must be greater than or equal to 0",
    );
  if (spec.activeDeadlineSeconds !== undefined && spec.activeDeadlineSeconds < 1)
    errors.invalid(
      "spec.activeDeadlineSeconds",
      spec.activeDeadlineSeconds,
      "must be between 1 and 2147483647, inclusive",
    );
  checkLabels(spec.nodeSelector, "spec.nodeSelector", errors);
  if (spec.hostname) checkName(spec.hostname, "label", "spec.hostname", errors);
  if (spec.subdomain) checkName(spec.subdomain, "label", "spec.subdomain", errors);
  if (spec.hostPID && spec.shareProcessNamespace)
    errors.invalid("spec.shareProcessNamespace", true, "ShareProcessNamespace and HostPID cannot both be enabled");
}

function validateContainer(
  container: Container,
  path: string,
  volumes: ReadonlySet<string>,
  errors: FieldErrors,
): void {
  if (!container.name) errors.required(`${path}.name`);
  else checkName(container.name, "label", `${path}.name`, errors);
  if (!container.image) errors.required(`${path}.image`);
  else if (container.image !== container.image.trim())
    errors.invalid(`${path}.image`, container.image, "must not have leading or trailing whitespace");
  if (container.imagePullPolicy !== undefined && !pullPolicies.includes(container.imagePullPolicy))
    errors.notSupported(`${path}.imagePullPolicy`, container.imagePullPolicy, pullPolicies);
  for (const [index, port] of (container.ports ?? []).entries()) {
    const at = `${path}.ports[${index}]`;
    if (!port.containerPort) errors.required(`${at}.containerPort`);
    else if (port.containerPort < 1 || port.containerPort > 65535)
      errors.invalid(`${at}.containerPort`, port.containerPort, "must be between 1 and 65535, inclusive");
    if (port.hostPort !== undefined && (port.hostPort < 0 || port.hostPort > 65535))
      errors.invalid(`${at}.hostPort`, port.hostPort, "must be between 1 and 65535, inclusive");
    if (!protocols.includes(port.protocol ?? "TCP")) errors.notSupported(`${at}.protocol`, port.protocol, protocols);
  }
  for (const [index, variable] of (container.env ?? []).entries()) {
    if (!variable.name) errors.required(`${path}.env[${index}].name`);
    else if (variable.name.includes("="))
      errors.invalid(
        `${path}.env[${index}].name`,
        variable.name,
        "a valid environment variable name must not contain '='",
      );
    if (variable.value && variable.valueFrom !== undefined)
      errors.invalid(`${path}.env[${index}].valueFrom`, "", "may not be specified when `value` is not empty");
  }
  const mounted = new Set<string>();
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    const at = `${path}.volumeMounts[${index}]`;
    if (!mount.name) errors.required(`${at}.name`);
    else if (!volumes.has(mount.name)) errors.notFound(`${at}.name`, mount.name);
    if (!mount.mountPath) errors.required(`${at}.mountPath`);
    else if (mounted.has(mount.mountPath)) errors.invalid(`${at}.mountPath`, mount.mountPath, "must be unique");
    mounted.add(mount.mountPath);
    for (const key of ["subPath", "subPathExpr"] as const) {
      const value = mount[key];
      if (!value) continue;
      if (value.startsWith("/")) errors.invalid(`${at}.${key}`, value, "must be a relative path");
      if (value.split("/").includes("..")) errors.invalid(`${at}.${key}`, value, "must not contain '..'");
    }
  }
  for (const [name, request] of Object.entries(container.resources?.requests ?? {})) {
    const limit = container.resources?.limits?.[name];
    if (limit !== undefined && compareQuantities(request, limit) > 0)
      errors.invalid(`${path}.resources.requests`, request, `must be less than or equal to ${name} limit of ${limit}`);
  }
}

function validateVolumes(volumes: readonly Volume[], errors: FieldErrors): Set<string> {
  const names = new Set<string>();
  for (const [index, volume] of volumes.entries()) {
    const path = `spec.volumes[${index}]`;
    if (!volume.name) errors.required(`${path}.name`);
    else {
      checkName(volume.name, "label", `${path}.name`, errors);
      if (names.has(volume.name)) errors.duplicate(`${path}.name`, volume.name);
      names.add(volume.name);
    }
    const { name: _, ...source } = volume;
    if (Object.keys(source).length > 1) errors.forbidden(path, "may not specify more than 1 volume type");
    if (volume.hostPath !== undefined) {
      if (!volume.hostPath.path) errors.required(`${path}.hostPath.path`);
      else if (volume.hostPath.path.split("/").includes(".."))
        errors.invalid(`${path}.hostPath.path`, volume.hostPath.path, "must not contain '..'");
    }
    if (volume.persistentVolumeClaim !== undefined && !volume.persistentVolumeClaim.claimName)
      errors.required(`${path}.persistentVolumeClaim.claimName`);
    if (volume.secret !== undefined && !volume.secret.secretName) errors.required(`${path}.secret.secretName`);
    if (volume.configMap !== undefined && !volume.configMap.name) errors.required(`${path}.configMap.name`);
    if (volume.csi !== undefined && !volume.csi.driver) errors.required(`${path}.csi.driver`);
  }
  return names;
}

function checkHostPorts(spec: PodSpec, errors: FieldErrors): void {
  const seen = new Set<string>();
  for (const [index, container] of spec.containers.entries()) {
    for (const [at, port] of (container.ports ?? []).entries()) {
      if (!port.hostPort) continue;
      const field = `spec.containers[${index}].ports[${at}].hostPort`;
      if (spec.hostNetwork && port.hostPort !== port.containerPort)
        errors.invalid(
          `spec.containers[${index}].ports[${at}].containerPort`,
          port.containerPort,
          "must match `hostPort` when `hostNetwork` is true",
        );
      const key = `${port.protocol} ${port.hostIP ?? ""} ${port.hostPort}`;
      if (seen.has(key)) errors.duplicate(field, key.replaceAll(" ", "/"));
      seen.add(key);
    }
  }
}

const mutable =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/** Almost nothing of a Pod's spec may change after it was made. */
export function validatePodUpdate(pod: Pod, old: Pod, errors: FieldErrors): void {
  const comparable = (spec: PodSpec | undefined): unknown => {
    if (spec === undefined) return undefined;
    const { activeDeadlineSeconds: _a, tolerations: _t, schedulingGates: _g, ...rest } = spec;
    const withoutImage = ({ image: _i, ...container }: Container): unknown => container;
    return {
      ...rest,
      containers: spec.containers.map(withoutImage),
      initContainers: spec.initContainers?.map(withoutImage),
    };
  };
  // Undefined and absent are the same here.
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null));
  if (!isDeepStrictEqual(plain(comparable(pod.spec)), plain(comparable(old.spec)))) errors.forbidden("spec", mutable);
  const kept = (old.spec?.tolerations ?? []).every((each) =>
    (pod.spec?.tolerations ?? []).some(
      (now) =>
        now.key === each.key &&
        now.effect === each.effect &&
        now.operator === each.operator &&
        now.value === each.value,
    ),
  );
  if (!kept)
    errors.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds");
}
