import { TripodError } from "@tripod/base";
import { configFields, formatIp, parseIp, type PluginCall } from "@tripod/cni/sdk";

/** What the sbr plugin is asked to do; the keys are upstream's. */
export interface SbrConfig {
  /** A table that is there: rules alone lead into it, and no route is moved. */
  readonly table: number | undefined;
  /** The gateways to use instead of the result's, by family. */
  readonly gateways: ReadonlyMap<4 | 6, string>;
  /** Keep the routes to the subnets in the main table, with the address as the source. */
  readonly addSourceHints: boolean;
}

/** Throws "invalid". */
export function parseSbrConfig(call: Pick<PluginCall, "config" | "args">): SbrConfig {
  const fields = configFields("sbr", call);
  const gateways = new Map<4 | 6, string>();
  for (const text of fields.strings("gateways")) {
    const ip = parseIp(text);
    if (gateways.has(ip.family))
      throw new TripodError("invalid", `sbr: "gateways" has two of IPv${ip.family}; leave one of each family`);
    gateways.set(ip.family, formatIp(ip));
  }
  return {
    table: fields.optionalInteger("table", 1, 0xffffffff),
    gateways,
    addSourceHints: fields.boolean("addSourceHints", false),
  };
}
