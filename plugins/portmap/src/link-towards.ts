import { containsIp, type Ip, parseCidr } from "@tripod/cni/sdk";
import type { Route } from "@tripod/linux";

/** Where the kernel keeps ordinary routes (RT_TABLE_MAIN). */
export const mainTable = 254;

/** The index of the link behind which `ip` is: that of the most specific route; undefined when none leads there. */
export function linkTowards(routes: readonly Route[], ip: Ip): number | undefined {
  let best: { readonly prefix: number; readonly metric: number; readonly index: number } | undefined;
  for (const { dst, index, metric } of routes) {
    if (index === undefined) continue;
    const cidr = parseCidr(dst === "default" ? (ip.family === 4 ? "0.0.0.0/0" : "::/0") : dst);
    if (!containsIp(cidr, ip)) continue;
    const better =
      best === undefined || cidr.prefix > best.prefix || (cidr.prefix === best.prefix && metric < best.metric);
    if (better) best = { prefix: cidr.prefix, metric, index };
  }
  return best?.index;
}
