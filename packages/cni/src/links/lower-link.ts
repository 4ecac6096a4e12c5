import { TripodError } from "@tripod/base";
import type { Link, Rtnetlink } from "@tripod/linux";
import type { LowerConfig } from "./link-config.ts";

/** The lower interface in the namespace of `where`: the one that is named, else that of the default route. "failed-precondition" without. */
export function lowerLink(plugin: string, { master }: LowerConfig, where: Rtnetlink): Link {
  if (master !== undefined) {
    const link = where.findLink(master);
    if (link !== undefined) return link;
    throw new TripodError(
      "failed-precondition",
      `${plugin}: there is no interface ${master}; name another in "master"`,
    );
  }
  const routes = where.routes({ table: 254 }).filter(({ dst, type }) => dst === "default" && type === "unicast");
  const index = routes.flatMap((route) => route.index ?? route.nextHops[0]?.index ?? []).at(0);
  const link = index === undefined ? undefined : where.findLink(index);
  if (link !== undefined) return link;
  throw new TripodError(
    "failed-precondition",
    `${plugin}: there is no default route to take an interface from; name one in "master"`,
  );
}

/** Throws "invalid" unless an interface on `lower` can have that MTU. */
export function checkMtu(plugin: string, mtu: number | undefined, lower: Link): void {
  if (mtu !== undefined && mtu > lower.mtu)
    throw new TripodError(
      "invalid",
      `${plugin}: mtu ${mtu} is more than that of ${lower.name}, ${lower.mtu}; choose a smaller one`,
    );
}
