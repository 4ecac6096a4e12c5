import { TripodError } from "@tripod/base";
import {
  configFields,
  type LinkConfig,
  type LowerConfig,
  parseLinkConfig,
  parseLowerConfig,
  type PluginCall,
  requestedMac,
} from "@tripod/cni/sdk";

/** The kernel's numbers of the modes (MACVLAN_MODE_*). */
export const macvlanModes = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
export type MacvlanMode = keyof typeof macvlanModes;

/** What the macvlan plugin is asked to do; the keys are upstream's. */
export interface MacvlanConfig extends LinkConfig, LowerConfig {
  readonly mode: MacvlanMode;
  readonly mac: string | undefined;
  /** `bcqueuelen`; undefined for the kernel's 1000. */
  readonly broadcastQueueLength: number | undefined;
}

const isMode = (text: string): text is MacvlanMode => Object.hasOwn(macvlanModes, text);

/** Throws "invalid" for a wrong value. */
export function parseMacvlanConfig(call: Pick<PluginCall, "config" | "args">): MacvlanConfig {
  const fields = configFields("macvlan", call);
  const mode = fields.string("mode", "") === "" ? "bridge" : fields.string("mode", "");
  if (!isMode(mode))
    throw new TripodError(
      "invalid",
      `macvlan configuration: mode ${JSON.stringify(mode.slice(0, 40))} is none of ${Object.keys(macvlanModes).join(", ")}`,
    );
  const queue = fields.optionalInteger("bcqueuelen", 0, 0xffffffff) ?? 0;
  return {
    ...parseLinkConfig("macvlan", call),
    ...parseLowerConfig("macvlan", call),
    mode,
    mac: requestedMac("macvlan", call, { key: true }),
    broadcastQueueLength: queue === 0 ? undefined : queue,
  };
}
