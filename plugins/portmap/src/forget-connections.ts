import { conntrackDelete } from "@tripod/linux";
import type { PortMapping } from "./portmap-config.ts";

/**
 * Makes the kernel forget UDP flows to mapped ports: one that was tracked before the mapping came (or led to a container that is
 * gone) would be led on to where it went then, for as long as packets keep coming.
 */
export function forgetConnections(mappings: readonly Pick<PortMapping, "protocol" | "hostPort" | "family">[]): void {
  for (const { protocol, hostPort, family } of mappings) {
    if (protocol === "udp")
      conntrackDelete({ family: family === 6 ? "ipv6" : "ipv4", protocol, destinationPort: hostPort });
  }
}
