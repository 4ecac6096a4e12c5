import { failpoint } from "@tripod/base";
import { isErrno, type Link, type Rtnetlink, routeSpecOf } from "@tripod/linux";

/** Of include/uapi/linux/rtnetlink.h: the tables that there always are, and who makes a route. */
const localTable = 255;
const mainTable = 254;
const defaultTable = 253;
const byKernel = 2;

/**
 * Puts an interface into a VRF, with its routes. The kernel takes it down and up for that: connected routes come back in the VRF's table by
 * themselves, all others and, unless the interface keeps them, IPv6 addresses would be lost.
 */
export function joinVrf(
  there: Rtnetlink,
  { index }: Link,
  vrf: { readonly index: number; readonly table: number },
): void {
  const addresses = there
    .addresses({ index, family: "ipv6" })
    .filter(({ scope, permanent }) => permanent && scope !== "link");
  const routes = there
    .routes({ index })
    .filter(({ table, protocol }) => table !== localTable && protocol !== byKernel)
    .map(routeSpecOf)
    // A gateway is reached by a route without one, so those come first.
    .toSorted((a, b) => Number(a.gateway !== undefined) - Number(b.gateway !== undefined));
  there.linkSet(index, { master: vrf.index });
  failpoint("vrf.joined");
  const kept = new Set(there.addresses({ index, family: "ipv6" }).map(({ address }) => address));
  for (const { address } of addresses) {
    if (kept.has(address)) continue;
    try {
      there.addressAdd({ index, address, noDad: true });
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error; // the kernel has put it back meanwhile
    }
  }
  for (const route of routes)
    there.routeReplace({ ...route, table: route.table === mainTable ? vrf.table : route.table });
}

/** A routing table that no VRF, rule or route has; from 1 upwards, as upstream's takes them. */
export function freeTable(there: Rtnetlink): number {
  const taken = new Set([
    0,
    defaultTable,
    mainTable,
    localTable,
    ...there.links().map(({ vrfTable }) => vrfTable),
    ...[...there.rules(), ...there.routes()].map(({ table }) => table),
  ]);
  let table = 1;
  while (taken.has(table)) table += 1;
  return table;
}
