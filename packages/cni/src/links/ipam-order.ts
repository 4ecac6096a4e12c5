/** IPAM plugins that keep records on this host, and speak with nobody. */
const local: ReadonlySet<string> = new Set(["host-local", "static"]);

/**
 * The two steps of DEL and GC, in the order that the IPAM plugin needs. One that keeps records comes last: an address that it gives to another
 * container must not answer from the old one any more. Any other may have to give back through the container's own interface what it got through
 * it (DHCP's RELEASE), and is asked while that stands.
 */
export function ipamOrder(
  ipam: string | undefined,
  giveBack: (ipam: string) => unknown,
  removeLinks: () => unknown,
): readonly (() => unknown)[] {
  if (ipam === undefined) return [removeLinks];
  const ask = (): unknown => giveBack(ipam);
  return local.has(ipam) ? [removeLinks, ask] : [ask, removeLinks];
}
