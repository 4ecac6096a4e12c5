import { TripodError } from "@tripod/base";
import {
  configFields,
  type LinkConfig,
  type LowerConfig,
  parseLinkConfig,
  parseLowerConfig,
  type PluginCall,
} from "@tripod/cni/sdk";

/** The kernel's numbers of the modes (IPVLAN_MODE_*). */
export const ipvlanModes = { l2: 0, l3: 1, l3s: 2 } as const;
export type IpvlanMode = keyof typeof ipvlanModes;

/** What the ipvlan plugin is asked to do; the keys are upstream's. */
export interface IpvlanConfig extends LinkConfig, LowerConfig {
  readonly mode: IpvlanMode;
}

const isMode = (text: string): text is IpvlanMode => Object.hasOwn(ipvlanModes, text);

/** Throws "invalid" for a wrong value. */
export function parseIpvlanConfig(call: PluginCall): IpvlanConfig {
  const fields = configFields("ipvlan", call);
  const mode = fields.string("mode", "") === "" ? "l2" : fields.string("mode", "");
  if (!isMode(mode))
    throw new TripodError(
      "invalid",
      `ipvlan configuration: mode ${JSON.stringify(mode.slice(0, 40))} is none of ${Object.keys(ipvlanModes).join(", ")}`,
    );
  const lower = parseLowerConfig("ipvlan", call);
  return { ...parseLinkConfig("ipvlan", call), ...lower, master: lower.master ?? chainedMaster(call), mode };
}

/** Behind another plugin of a chain, the interface is made on the one that was made there (ADD alone is told). */
function chainedMaster({ command, prevResult }: PluginCall): string | undefined {
  if (command !== "ADD" || prevResult === undefined) return undefined;
  const [only, ...more] = prevResult.interfaces;
  if (only !== undefined && only.name !== "" && more.length === 0) return only.name;
  throw new TripodError(
    "invalid",
    `ipvlan: the result of the plugin before has ${prevResult.interfaces.length} interfaces, and one is wanted; name the one to take in "master"`,
  );
}
