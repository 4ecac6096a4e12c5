import { Protocol } from "@tripod/api/cri";
import type { Container, Pod } from "@tripod/api/kubernetes";
import type { SandboxConfigInit } from "../cri/cri-client.ts";
import { podNameLabel, podNamespaceLabel, podUidLabel } from "../cri/pod-labels.ts";
import { initContainers, isSidecar, nameOf, namespaceOf, regularContainers, uidOf } from "../pods/pod-facts.ts";
import type { IdRange } from "../pods/user-namespaces.ts";
import type { DnsConfig } from "./dns-config.ts";
import { podResources } from "./linux-resources.ts";
import { sandboxSecurity } from "./security-context.ts";

export interface SandboxConfigInput {
  readonly pod: Pod;
  readonly attempt: number;
  readonly hostname: string;
  readonly dns: DnsConfig;
  readonly logDirectory: string;
  readonly cgroupParent: string;
  readonly seccompDir: string;
  /** The Pod's own users; the host's when undefined. */
  readonly users?: IdRange | undefined;
}

const protocols: Readonly<Record<string, Protocol>> = { TCP: Protocol.TCP, UDP: Protocol.UDP, SCTP: Protocol.SCTP };

const portMappings = (containers: readonly Container[]) =>
  containers
    .flatMap(({ ports = [] }) => ports)
    .map(({ protocol = "TCP", containerPort, hostPort = 0, hostIP = "" }) => ({
      protocol: protocols[protocol] ?? Protocol.TCP,
      containerPort,
      hostPort,
      hostIp: hostIP,
    }));

/** What RunPodSandbox is told about a Pod. Pure. */
export function sandboxConfig(input: SandboxConfigInput): SandboxConfigInit {
  const { pod, dns } = input;
  const hostNetwork = pod.spec?.hostNetwork === true;
  const serving = [...regularContainers(pod), ...initContainers(pod).filter(isSidecar)];
  return {
    metadata: { name: nameOf(pod), namespace: namespaceOf(pod), uid: uidOf(pod), attempt: input.attempt },
    // On the host's network the host's own name stays.
    hostname: hostNetwork ? "" : input.hostname,
    logDirectory: input.logDirectory,
    dnsConfig: { servers: [...dns.servers], searches: [...dns.searches], options: [...dns.options] },
    portMappings: hostNetwork ? [] : portMappings(serving),
    labels: {
      ...pod.metadata?.labels,
      [podNameLabel]: nameOf(pod),
      [podNamespaceLabel]: namespaceOf(pod),
      [podUidLabel]: uidOf(pod),
    },
    annotations: { ...pod.metadata?.annotations },
    linux: {
      cgroupParent: input.cgroupParent,
      securityContext: sandboxSecurity(pod, input.seccompDir, input.users),
      sysctls: Object.fromEntries(
        (pod.spec?.securityContext?.sysctls ?? []).map(({ name, value }) => [name.replaceAll("/", "."), value]),
      ),
      resources: podResources(pod),
    },
  };
}
