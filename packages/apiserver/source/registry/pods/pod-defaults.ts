import type { Container, Pod, Probe } from "@tripod/api/kubernetes";

const tagOf = (image: string): string => (image.includes("@") ? "digest" : (/:([^/:]+)$/.exec(image)?.[1] ?? "latest"));

function defaultProbe(probe: Probe | undefined): void {
  if (probe === undefined) return;
  probe.timeoutSeconds ||= 1;
  probe.periodSeconds ||= 10;
  probe.successThreshold ||= 1;
  probe.failureThreshold ||= 3;
  if (probe.httpGet !== undefined) {
    probe.httpGet.path ||= "/";
    probe.httpGet.scheme ||= "HTTP";
  }
}

function defaultContainer(container: Container): void {
  container.imagePullPolicy ||= tagOf(container.image ?? "") === "latest" ? "Always" : "IfNotPresent";
  container.terminationMessagePath ||= "/dev/termination-log";
  container.terminationMessagePolicy ||= "File";
  container.resources ??= {};
  for (const port of container.ports ?? []) port.protocol ||= "TCP";
  for (const variable of container.env ?? [])
    if (variable.valueFrom?.fieldRef !== undefined) variable.valueFrom.fieldRef.apiVersion ||= "v1";
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) defaultProbe(probe);
  for (const handler of [container.lifecycle?.postStart, container.lifecycle?.preStop]) {
    if (handler?.httpGet !== undefined) {
      handler.httpGet.path ||= "/";
      handler.httpGet.scheme ||= "HTTP";
    }
  }
  // What has a limit and no request asks for its limit.
  const { limits, requests } = container.resources;
  if (limits !== undefined) container.resources.requests = { ...limits, ...requests };
}

/** Fills in what a Pod may leave out, as upstream does. */
export function defaultPod(pod: Pod): void {
  const spec = pod.spec;
  if (spec === undefined) return;
  spec.containers ??= [];
  spec.restartPolicy ||= "Always";
  spec.dnsPolicy ||= "ClusterFirst";
  spec.schedulerName ||= "default-scheduler";
  spec.terminationGracePeriodSeconds ??= 30;
  spec.securityContext ??= {};
  spec.enableServiceLinks ??= true;
  spec.preemptionPolicy ??= "PreemptLowerPriority";
  spec.priority ??= 0;
  for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) defaultContainer(container);
  if (spec.hostNetwork) {
    for (const container of spec.containers)
      for (const port of container.ports ?? []) port.hostPort ||= port.containerPort;
  }
  for (const volume of spec.volumes ?? []) {
    const { name: _, ...source } = volume;
    if (Object.keys(source).length === 0) volume.emptyDir = {};
    if (volume.secret !== undefined) volume.secret.defaultMode ??= 0o644;
    if (volume.configMap !== undefined) volume.configMap.defaultMode ??= 0o644;
    if (volume.downwardAPI !== undefined) volume.downwardAPI.defaultMode ??= 0o644;
    if (volume.projected !== undefined) {
      volume.projected.defaultMode ??= 0o644;
      for (const each of volume.projected.sources ?? [])
        if (each.serviceAccountToken !== undefined) each.serviceAccountToken.expirationSeconds ??= 3600;
    }
    if (volume.hostPath !== undefined) volume.hostPath.type ??= "";
  }
  spec.tolerations ??= [];
  for (const key of ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]) {
    const tolerated = spec.tolerations.some(
      (each) => (each.key === key || !each.key) && (!each.effect || each.effect === "NoExecute"),
    );
    if (!tolerated) spec.tolerations.push({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 });
  }
}

/** The Pod's quality-of-service class, from the requests and limits of its containers. */
export function qosClass(pod: Pod): "Guaranteed" | "Burstable" | "BestEffort" {
  const all = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  const resources = ["cpu", "memory"] as const;
  const asks = all.some((container) =>
    resources.some(
      (name) =>
        container.resources?.requests?.[name] !== undefined || container.resources?.limits?.[name] !== undefined,
    ),
  );
  if (!asks) return "BestEffort";
  const isGuaranteed = all.every((container) =>
    resources.every((name) => {
      const limit = container.resources?.limits?.[name];
      return limit !== undefined && container.resources?.requests?.[name] === limit;
    }),
  );
  return isGuaranteed ? "Guaranteed" : "Burstable";
}
