import type { ContainerImage, Node, NodeCondition, NodeStatus } from "@tripod/api/kubernetes";
import { binaryQuantity, hugePageResource } from "../containers/huge-pages.ts";
import type { Machine } from "./machine.ts";
import type { RuntimeAbilities } from "./runtime-abilities.ts";

/** The version that this kubelet reports: the API level that it follows. */
export const kubeletVersion = "v1.33.0-tripod";

/** The most Pods that are run at once. */
const maxPods = 110;

export interface NodeFacts {
  readonly nodeName: string;
  readonly machine: Machine;
  readonly nodeIps: readonly string[];
  /** "containerd://1.6.20". */
  readonly runtimeVersion: string;
  readonly podCidr: string | undefined;
  readonly port: number;
}

const megabyte = 1024 * 1024;

/** The node's resources as quantities. */
const capacityOf = ({ cpuCount, memoryBytes, diskBytes, hugePages }: Machine): Record<string, string> => ({
  cpu: String(cpuCount),
  memory: `${Math.floor(memoryBytes / 1024)}Ki`,
  "ephemeral-storage": `${Math.floor(diskBytes / 1024)}Ki`,
  pods: String(maxPods),
  ...Object.fromEntries(
    hugePages.map(({ pageBytes, pages }) => [hugePageResource(pageBytes), binaryQuantity(pageBytes * pages)]),
  ),
});

/**
 * What Pods may ask for: upstream's eviction thresholds (100 MiB of memory, a tenth of the disk) are left to the system, and memory that is
 * set aside as huge pages is no other memory.
 */
export function allocatableOf(machine: Machine): Record<string, string> {
  const hugeBytes = machine.hugePages.reduce((sum, { pageBytes, pages }) => sum + pageBytes * pages, 0);
  return {
    ...capacityOf(machine),
    memory: `${Math.max(0, Math.floor((machine.memoryBytes - hugeBytes - 100 * megabyte) / 1024))}Ki`,
    "ephemeral-storage": String(Math.floor(machine.diskBytes * 0.9)),
  };
}

/** The labels that every node carries. */
export const nodeLabels = ({ nodeName, machine }: NodeFacts): Record<string, string> => ({
  "kubernetes.io/hostname": nodeName,
  "kubernetes.io/os": "linux",
  "kubernetes.io/arch": machine.architecture,
  "beta.kubernetes.io/os": "linux",
  "beta.kubernetes.io/arch": machine.architecture,
});

/** The Node as it registers; its status follows. */
export function nodeObject(facts: NodeFacts, extraLabels: Readonly<Record<string, string>>): Node {
  const { podCidr } = facts;
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: facts.nodeName, labels: { ...nodeLabels(facts), ...extraLabels } },
    spec: podCidr === undefined ? {} : { podCIDR: podCidr, podCIDRs: [podCidr] },
  };
}

export interface NodeStatusInput {
  readonly facts: NodeFacts;
  readonly conditions: readonly NodeCondition[];
  readonly images: readonly ContainerImage[];
  readonly volumesInUse: readonly string[];
  readonly abilities: RuntimeAbilities;
}

/** The part of the Node's status that a kubelet owns, whole. Pure. */
export function nodeStatus({ facts, conditions, images, volumesInUse, abilities }: NodeStatusInput): NodeStatus {
  const { machine } = facts;
  return {
    capacity: capacityOf(machine),
    allocatable: allocatableOf(machine),
    addresses: [
      ...facts.nodeIps.map((address) => ({ type: "InternalIP" as const, address })),
      { type: "Hostname" as const, address: facts.nodeName },
    ],
    conditions: [...conditions],
    daemonEndpoints: { kubeletEndpoint: { Port: facts.port } },
    nodeInfo: {
      machineID: machine.machineId,
      systemUUID: machine.systemUuid,
      bootID: machine.bootId,
      kernelVersion: machine.kernelVersion,
      osImage: machine.osImage,
      containerRuntimeVersion: facts.runtimeVersion,
      kubeletVersion,
      kubeProxyVersion: "",
      operatingSystem: "linux",
      architecture: machine.architecture,
    },
    images: [...images],
    volumesInUse: [...volumesInUse],
    ...abilities,
  };
}
