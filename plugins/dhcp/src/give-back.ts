import { type Logger, messageOf } from "@tripod/base";
import { namespaceExists, namespaceIdentity, openRtnetlink } from "@tripod/linux";
import { DhcpClient } from "./dhcp-client.ts";
import type { LeaseRecord } from "./lease-store.ts";

/** What log lines say of a lease. */
export const aboutLease = ({ network, containerId, ifname, held }: LeaseRecord) => ({
  network,
  containerId,
  ifname,
  address: held.address,
  server: held.server,
});

/** Whether the interface is there that the lease was got for. */
export function interfaceStands({ place: { netns, ifname }, netnsIdentity }: LeaseRecord): boolean {
  if (!namespaceExists(netns) || namespaceIdentity(netns) !== netnsIdentity) return false;
  using there = openRtnetlink({ netns });
  return there.findLink(ifname) !== undefined;
}

/** Tells the server that the address is free, where the interface still stands; where not, the lease ends by itself. */
export function giveBack(record: LeaseRecord, log: Logger): void {
  if (record.lost !== undefined) return;
  if (!interfaceStands(record)) {
    log.warn(aboutLease(record), "the interface went before the lease was given back; it ends by itself");
    return;
  }
  try {
    using client = new DhcpClient(record.place, record.identity);
    client.release(record.held);
    log.info(aboutLease(record), "lease given back");
  } catch (error) {
    // As when the server does not hear it: the lease ends by itself.
    log.warn({ ...aboutLease(record), error: messageOf(error) }, "the lease could not be given back");
  }
}
