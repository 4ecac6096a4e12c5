import type { HostAlias } from "@tripod/api/kubernetes";

export interface HostsFileInput {
  readonly podIps: readonly string[];
  readonly hostname: string;
  /** "" when the Pod has none. */
  readonly domainName: string;
  readonly aliases: readonly HostAlias[];
  /** The host's own file, for a Pod on the host's network. */
  readonly hostFile: string | undefined;
}

const aliasLines = (aliases: readonly HostAlias[]): string[] =>
  aliases.length === 0
    ? []
    : [
        "",
        "# Entries added by HostAliases.",
        ...aliases.map(({ ip, hostnames = [] }) => [ip, ...hostnames].join("\t")),
      ];

/** The text of the /etc/hosts that all containers of a Pod share. */
export function hostsFile({ podIps, hostname, domainName, aliases, hostFile }: HostsFileInput): string {
  if (hostFile !== undefined) {
    return `# Kubernetes-managed hosts file (host network).\n${hostFile.trimEnd()}\n${aliasLines(aliases).join("\n")}\n`;
  }
  const names = domainName === "" || domainName === hostname ? hostname : `${domainName}\t${hostname}`;
  return `${[
    "# Kubernetes-managed hosts file.",
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
    ...podIps.map((ip) => `${ip}\t${names}`),
    ...aliasLines(aliases),
  ].join("\n")}\n`;
}
