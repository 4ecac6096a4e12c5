import { TripodError } from "@tripod/base";
import { configFields, type PluginCall } from "@tripod/cni/sdk";
import { checkLinkName } from "@tripod/linux";

/** What the vrf plugin is asked to do; the keys are upstream's. */
export interface VrfConfig {
  /** The VRF's name, in the container's namespace. */
  readonly name: string;
  /** Its routing table; undefined for one that nothing uses. */
  readonly table: number | undefined;
}

/** Throws "invalid". */
export function parseVrfConfig(call: Pick<PluginCall, "config" | "args">): VrfConfig {
  const fields = configFields("vrf", call);
  const name = fields.string("vrfname", "");
  if (name === "") throw new TripodError("invalid", 'vrf configuration: "vrfname" is missing; name the VRF to be in');
  const table = fields.optionalInteger("table", 0, 0xffffffff) ?? 0;
  return { name: checkLinkName(name), table: table === 0 ? undefined : table };
}
