import { TripodError } from "@tripod/base";
import { formatCidr, networkOf, parseCidr } from "@tripod/cni/sdk";

/** What flanneld has found out about this node, as its file of environment variables says it. */
export interface SubnetEnv {
  /** All Pods', of either family, in CIDR form without host bits. */
  readonly networks: readonly string[];
  /** This node's, of either family, in CIDR form. */
  readonly subnets: readonly string[];
  /** Bytes. */
  readonly mtu: number;
  /** flanneld masquerades: the bridge must not. */
  readonly ipMasq: boolean;
}

const network = (text: string): string => {
  const cidr = parseCidr(text);
  return formatCidr({ ip: networkOf(cidr), prefix: cidr.prefix });
};

/** Reads flannel's subnet.env; `file` is for errors, which name all that is missing. Throws "invalid". */
export function parseSubnetEnv(text: string, file: string): SubnetEnv {
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const equals = line.indexOf("=");
    if (equals > 0) values.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
  }
  const lists = (keys: readonly string[]): readonly string[] => [
    ...new Set(keys.flatMap((key) => (values.get(key) ?? "").split(",")).filter((item) => item !== "")),
  ];
  const networks = [...new Set(lists(["FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK"]).map(network))];
  const subnets = lists(["FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"]).map(network);
  const mtu = values.get("FLANNEL_MTU");
  const masq = values.get("FLANNEL_IPMASQ");
  const missing = [
    ...(networks.length === 0 ? ["FLANNEL_NETWORK or FLANNEL_IPV6_NETWORK"] : []),
    ...(subnets.length === 0 ? ["FLANNEL_SUBNET or FLANNEL_IPV6_SUBNET"] : []),
    ...(mtu === undefined ? ["FLANNEL_MTU"] : []),
    ...(masq === undefined ? ["FLANNEL_IPMASQ"] : []),
  ];
  if (missing.length > 0 || mtu === undefined)
    throw new TripodError(
      "invalid",
      `flannel: ${file} lacks ${missing.join(", ")}; look at flanneld's log on this node`,
    );
  if (!/^\d{1,5}$/.test(mtu))
    throw new TripodError("invalid", `flannel: ${file}: FLANNEL_MTU is ${JSON.stringify(mtu)}`);
  return { networks, subnets, mtu: Number(mtu), ipMasq: masq === "true" };
}
