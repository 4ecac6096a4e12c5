import { readFileSync, writeFileSync } from "node:fs";
import { hostname as hostName } from "node:os";
import type { DNSConfig } from "@tripod/api/cri";
import type { SandboxPaths } from "./paths.ts";

/** resolv.conf(5) of a Pod: its own servers, searches and options; the host's file when it names none. */
export function resolvConf(dns: DNSConfig | undefined, hostFile: () => string): string {
  if (dns === undefined || (dns.servers.length === 0 && dns.searches.length === 0 && dns.options.length === 0))
    return hostFile();
  const lines = [
    ...(dns.searches.length > 0 ? [`search ${dns.searches.join(" ")}`] : []),
    ...dns.servers.map((server) => `nameserver ${server}`),
    ...(dns.options.length > 0 ? [`options ${dns.options.join(" ")}`] : []),
  ];
  return `${lines.join("\n")}\n`;
}

const readIfThere = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // a host without the file has nothing to pass on
  }
};

const localHosts = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", ""].join("\n");

/**
 * Writes what containers see as /etc/resolv.conf and /etc/hostname, and /etc/hosts for callers that bring none. The folder does not
 * outlive a reboot, so nothing is synced.
 */
export function writeNetworkFiles(
  paths: SandboxPaths,
  pod: { readonly dns: DNSConfig | undefined; readonly hostname: string; readonly hostNetwork: boolean },
): void {
  writeFileSync(
    paths.resolvConf,
    resolvConf(pod.dns, () => readIfThere("/etc/resolv.conf")),
  );
  writeFileSync(paths.hostname, `${pod.hostname === "" || pod.hostNetwork ? hostName() : pod.hostname}\n`);
  writeFileSync(paths.hosts, pod.hostNetwork ? readIfThere("/etc/hosts") : localHosts);
}

/** Adds the Pod's own name, once its address is known. */
export function writeOwnHost(paths: SandboxPaths, ip: string, hostname: string): void {
  writeFileSync(paths.hosts, `${localHosts}${ip}\t${hostname}\n`);
}
