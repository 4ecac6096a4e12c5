/** How far an address or route reaches (RT_SCOPE_*). */
export type RouteScope = "global" | "site" | "link" | "host" | "nowhere";

const numbers: Readonly<Record<RouteScope, number>> = { global: 0, site: 200, link: 253, host: 254, nowhere: 255 };

export const scopeNumber = (scope: RouteScope): number => numbers[scope];

/** Scopes between the named ones, which nobody uses, count as "site". */
export function scopeName(number: number): RouteScope {
  for (const name of ["global", "link", "host", "nowhere"] as const) if (numbers[name] === number) return name;
  return "site";
}
