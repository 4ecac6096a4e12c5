import { TripodError } from "@tripod/base";
import {
  configFields,
  type LinkConfig,
  type LowerConfig,
  parseLinkConfig,
  parseLowerConfig,
  type PluginCall,
} from "@tripod/cni/sdk";

/** What the vlan plugin is asked to do; the keys are upstream's. */
export interface VlanConfig extends LinkConfig, LowerConfig {
  /** 0 to 4094; 0 tags frames with a priority alone. */
  readonly vlanId: number;
}

/** Throws "invalid" for a wrong value, or one that is missing. */
export function parseVlanConfig(call: Pick<PluginCall, "config" | "args">): VlanConfig {
  const lower = parseLowerConfig("vlan", call);
  if (lower.master === undefined)
    throw new TripodError(
      "invalid",
      'vlan configuration: "master" is missing; it names the interface that carries the VLAN',
    );
  const vlanId = configFields("vlan", call).optionalInteger("vlanId", 0, 4094) ?? 0;
  return { ...parseLinkConfig("vlan", call), ...lower, vlanId };
}
