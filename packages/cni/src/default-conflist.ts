import type { JsonObject } from "./json.ts";
import { currentVersion } from "./version.ts";

export interface DefaultConflistOptions {
  /** The network's name; the bridge's unless told, so that several instances on one machine stay apart. */
  readonly name?: string;
  readonly bridge: string;
  /** One subnet of either family, or one of each: "10.88.0.0/16". */
  readonly subnet: string | readonly string[];
  /** Where host-local keeps its reservations. */
  readonly dataDir: string;
  readonly mtu?: number;
  /** Limits of single containers, by the capability `bandwidth`; false unless told. */
  readonly bandwidth?: boolean;
}

/** The configuration list of the default network: bridge with host-local addresses and masquerade, then portmap, and bandwidth where it is wanted. */
export function defaultConflist({ name, bridge, subnet, dataDir, mtu, bandwidth }: DefaultConflistOptions): JsonObject {
  const subnets = typeof subnet === "string" ? [subnet] : subnet;
  return {
    cniVersion: currentVersion,
    name: name ?? bridge,
    plugins: [
      {
        type: "bridge",
        bridge,
        isGateway: true,
        isDefaultGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ...(mtu === undefined ? {} : { mtu }),
        ipam: { type: "host-local", dataDir, ranges: subnets.map((range) => [{ subnet: range }]) },
      },
      { type: "portmap", capabilities: { portMappings: true } },
      ...(bandwidth === true ? [{ type: "bandwidth", capabilities: { bandwidth: true } }] : []),
    ],
  };
}
