import { Protocol, type PortMapping } from "@tripod/api/cri";
import { failpoint } from "@tripod/base";
import type { JsonObject } from "@tripod/cni";
import type { CriContext } from "../context.ts";
import { sandboxConfigOf, sandboxMetadata, type SandboxRecord } from "../records/sandbox-record.ts";
import { bandwidthOf } from "./bandwidth.ts";
import { sandboxPaths } from "./paths.ts";

const protocolNames: Readonly<Record<number, string>> = {
  [Protocol.TCP]: "tcp",
  [Protocol.UDP]: "udp",
  [Protocol.SCTP]: "sctp",
};

/** The "portMappings" capability of CNI; mappings without a host port ask for nothing. */
const portMappingsOf = (mappings: readonly PortMapping[]) =>
  mappings
    .filter((mapping) => mapping.hostPort > 0)
    .map((mapping) => ({
      hostPort: mapping.hostPort,
      containerPort: mapping.containerPort,
      protocol: protocolNames[mapping.protocol] ?? "tcp",
      ...(mapping.hostIp !== "" && { hostIP: mapping.hostIp }),
    }));

/** What CNI's plugins are told beside their configuration, those that declare the capability. */
function capabilityArgsOf(sandbox: SandboxRecord): JsonObject {
  const config = sandboxConfigOf(sandbox);
  const portMappings = portMappingsOf(config.portMappings);
  const bandwidth = bandwidthOf(config.annotations);
  return {
    ...(portMappings.length > 0 && { portMappings }),
    ...(bandwidth !== undefined && { bandwidth: { ...bandwidth } }),
  };
}

/** What CNI is told about a sandbox: the same at ADD and at DEL, whatever has happened in between. */
function attachmentOf(context: CriContext, sandbox: SandboxRecord, netns: string) {
  const config = sandboxConfigOf(sandbox);
  const { name, namespace, uid } = sandboxMetadata(config);
  return {
    containerId: sandbox.id,
    netns,
    ifname: "eth0",
    args: {
      IgnoreUnknown: "1",
      K8S_POD_NAMESPACE: namespace,
      K8S_POD_NAME: name,
      K8S_POD_INFRA_CONTAINER_ID: sandbox.id,
      K8S_POD_UID: uid,
    },
  };
}

/** Attaches the sandbox to the network; the addresses that it got, without prefix length. */
export async function attachSandbox(context: CriContext, sandbox: SandboxRecord): Promise<string[]> {
  const { net } = sandboxPaths(context, sandbox);
  if (net === undefined) return [];
  const result = await context.cni.add({
    ...attachmentOf(context, sandbox, net),
    capabilityArgs: capabilityArgsOf(sandbox),
    signal: context.tasks.signal,
  });
  failpoint("cri.sandbox.network-added");
  return result.ips.map(({ address }) => address.split("/")[0] ?? address);
}

/** Detaches it again, by what was told at ADD and kept; nothing to detach, or a namespace that is gone, is no error. */
export async function detachSandbox(context: CriContext, sandbox: SandboxRecord): Promise<void> {
  const { net } = sandboxPaths(context, sandbox);
  if (net === undefined) return;
  await context.cni.del({ ...attachmentOf(context, sandbox, net), signal: context.tasks.signal });
  failpoint("cri.sandbox.network-deleted");
}
