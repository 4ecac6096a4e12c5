import { TripodError } from "@tripod/base";
import { configFields, type LinkConfig, parseLinkConfig, type PluginCall } from "@tripod/cni/sdk";

/** What the ptp plugin is asked to do; the keys are upstream's. */
export interface PtpConfig extends LinkConfig {
  readonly ipam: string;
  readonly ipMasq: boolean;
}

const wrong = (why: string): TripodError => new TripodError("invalid", `ptp configuration: ${why}`);

/** Throws "invalid" for a wrong value, and without `ipam`. */
export function parsePtpConfig(call: Pick<PluginCall, "config" | "args">): PtpConfig {
  const fields = configFields("ptp", call);
  const { ipam, ...link } = parseLinkConfig("ptp", call);
  if (ipam === undefined) throw wrong('"ipam" is missing; its type names the plugin that gives addresses');
  const backend = fields.string("ipMasqBackend", "");
  if (backend !== "" && backend !== "nftables")
    throw wrong(
      `ipMasqBackend is ${backend.slice(0, 40)}; this plugin masquerades with nftables alone: remove the key`,
    );
  return { ...link, ipam, ipMasq: fields.boolean("ipMasq", false) };
}
