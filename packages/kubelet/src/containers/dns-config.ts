import type { Pod } from "@tripod/api/kubernetes";
import { namespaceOf } from "../pods/pod-facts.ts";

/** The contents of a resolv.conf. */
export interface DnsConfig {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

export interface ClusterDns {
  /** Addresses of the cluster's name servers; empty when there is none yet. */
  readonly servers: readonly string[];
  readonly domain: string;
}

const maxServers = 3;
const maxSearches = 32;

/** Reads a resolv.conf; what it does not understand it passes over, as the C library does. */
export function parseResolvConf(text: string): DnsConfig {
  const servers: string[] = [];
  let searches: string[] = [];
  let options: string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (keyword === "nameserver" && values[0] !== undefined) servers.push(values[0]);
    else if (keyword === "search" || keyword === "domain")
      searches = values.map((name) => name.replace(/(.)\.$/, "$1"));
    else if (keyword === "options") options = values;
  }
  return { servers, searches, options };
}

const unique = (items: readonly string[]): string[] => [...new Set(items)];
const optionName = (option: string): string => option.split(":")[0] ?? option;

/**
 * The resolver configuration of a Pod by its dnsPolicy and dnsConfig. ClusterFirst on the host's network, or without a cluster DNS, is
 * the host's own; undefined servers stay empty for policy None.
 */
export function podDnsConfig(pod: Pod, host: DnsConfig, cluster: ClusterDns): DnsConfig {
  const { dnsPolicy = "ClusterFirst", hostNetwork = false, dnsConfig } = pod.spec ?? {};
  const wantsCluster = dnsPolicy === "ClusterFirstWithHostNet" || (dnsPolicy === "ClusterFirst" && !hostNetwork);
  let base: DnsConfig = host;
  if (dnsPolicy === "None") base = { servers: [], searches: [], options: [] };
  else if (wantsCluster && cluster.servers.length > 0) {
    const { domain } = cluster;
    base = {
      servers: cluster.servers,
      searches: [`${namespaceOf(pod)}.svc.${domain}`, `svc.${domain}`, domain, ...host.searches],
      options: ["ndots:5"],
    };
  }
  const own = (dnsConfig?.options ?? []).map(({ name, value }) =>
    value === undefined || value === "" ? (name ?? "") : `${name}:${value}`,
  );
  const overridden = new Set(own.map(optionName));
  return {
    servers: unique([...base.servers, ...(dnsConfig?.nameservers ?? [])]).slice(0, maxServers),
    searches: unique([...base.searches, ...(dnsConfig?.searches ?? [])]).slice(0, maxSearches),
    options: [...base.options.filter((option) => !overridden.has(optionName(option))), ...own],
  };
}
