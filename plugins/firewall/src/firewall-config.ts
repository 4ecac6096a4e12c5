import { TripodError } from "@tripod/base";
import { configFields, type PluginCall } from "@tripod/cni/sdk";

/** Who may open connections to the container; upstream's words. */
export type IngressPolicy = "open" | "same-bridge" | "isolated";

/** What the firewall plugin is asked to do; the keys are upstream's. */
export interface FirewallConfig {
  readonly ingressPolicy: IngressPolicy;
  /** The chain, an administrator's own, that is asked before the plugin's rules. */
  readonly adminChain: string;
}

const policies = new Set(["open", "same-bridge", "isolated"]);
const isPolicy = (text: string): text is IngressPolicy => policies.has(text);
/** "iptables" is taken too: what iptables drops by its policy is let through there. */
const backends = new Set(["", "nftables", "iptables"]);

/** Throws "invalid". */
export function parseFirewallConfig(call: Pick<PluginCall, "config" | "args">): FirewallConfig {
  const fields = configFields("firewall", call);
  const backend = fields.string("backend", "");
  if (!backends.has(backend))
    throw new TripodError(
      "invalid",
      `firewall: backend ${JSON.stringify(backend)} is not nftables, which is all this plugin does; remove the key`,
    );
  const named = fields.string("ingressPolicy", "");
  const ingressPolicy = named === "" ? "open" : named;
  if (!isPolicy(ingressPolicy))
    throw new TripodError(
      "invalid",
      `firewall: ingressPolicy ${JSON.stringify(ingressPolicy)} is none of open, same-bridge, isolated`,
    );
  const chain = fields.string("iptablesAdminChainName", "");
  const adminChain = chain === "" ? "CNI-ADMIN" : chain;
  if (!/^[A-Za-z][A-Za-z0-9_-]{0,60}$/.test(adminChain))
    throw new TripodError(
      "invalid",
      `firewall: iptablesAdminChainName ${JSON.stringify(adminChain)}: a chain's name begins with a letter and goes on with letters, digits, - and _`,
    );
  return { ingressPolicy, adminChain };
}
