import { TripodError } from "@tripod/base";

/** What a driver says of itself on this node. */
export interface DriverNode {
  readonly name: string;
  readonly nodeId: string;
  /** 0 where it names no limit. */
  readonly maxVolumes: number;
  readonly segments: Readonly<Record<string, string>>;
}

const namePattern = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$/;
const labelPrefix = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;
const labelName = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
/** CSI's bound for a node's id, in bytes. */
const longestNodeId = 256;
/** Every key becomes a label of the Node. Drivers have two or three. */
const mostSegments = 50;
/** The limit is an int32 in a CSINode. */
const mostVolumes = 2 ** 31 - 1;

function isLabelKey(key: string): boolean {
  const [first = "", second, ...more] = key.split("/");
  if (second === undefined) return labelName.test(first);
  return more.length === 0 && first.length <= 253 && labelPrefix.test(first) && labelName.test(second);
}

const shown = (text: string): string => JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);

/** Refuses a driver's name that cannot be one: it becomes a part of paths. */
export function checkDriverName(name: string): void {
  if (!namePattern.test(name)) {
    throw new TripodError("invalid", `CSI driver name ${shown(name)}: not a domain name of at most 63 characters`);
  }
}

/** Checks what NodeGetInfo answers before it goes to the API server. */
export function driverNode(
  name: string,
  info: {
    readonly nodeId: string;
    readonly maxVolumesPerNode: bigint;
    readonly accessibleTopology?: { readonly segments: Readonly<Record<string, string>> } | undefined;
  },
): DriverNode {
  const refuse = (why: string): never => {
    throw new TripodError(
      "invalid",
      `driver ${name}: NodeGetInfo ${why}; ask for a driver that keeps to the interface`,
    );
  };
  const { nodeId, maxVolumesPerNode, accessibleTopology } = info;
  if (nodeId === "") refuse("gives no node id");
  if (Buffer.byteLength(nodeId) > longestNodeId) {
    refuse(`gives a node id of ${Buffer.byteLength(nodeId)} bytes, and at most ${longestNodeId} are allowed`);
  }
  if (maxVolumesPerNode < 0n) refuse(`gives a limit of ${maxVolumesPerNode} volumes`);
  const segments = accessibleTopology?.segments ?? {};
  const entries = Object.entries(segments);
  if (entries.length > mostSegments) {
    refuse(`gives ${entries.length} topology keys, and more than ${mostSegments} are not taken as labels of a node`);
  }
  for (const [key, value] of entries) {
    if (!isLabelKey(key)) refuse(`gives the topology key ${shown(key)}, which cannot be a label`);
    if (value !== "" && !labelName.test(value))
      refuse(`gives the topology ${key}=${shown(value)}, which cannot be a label`);
  }
  return {
    name,
    nodeId,
    maxVolumes: Number(maxVolumesPerNode > mostVolumes ? mostVolumes : maxVolumesPerNode),
    segments,
  };
}
