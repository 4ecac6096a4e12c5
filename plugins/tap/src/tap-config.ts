import { TripodError } from "@tripod/base";
import { configFields, type LinkConfig, parseLinkConfig, type PluginCall, requestedMac } from "@tripod/cni/sdk";
import { checkLinkName } from "@tripod/linux";

/** What the tap plugin is asked to do; the keys are upstream's. */
export interface TapConfig extends LinkConfig {
  readonly mac: string | undefined;
  readonly multiQueue: boolean;
  /** User id of whoever may open it, beside root. */
  readonly owner: number | undefined;
  readonly group: number | undefined;
  /** The SELinux context in which it is made, and which it has from then on. */
  readonly selinuxContext: string | undefined;
  /** A bridge in the container's namespace, of which it becomes a port. */
  readonly bridge: string | undefined;
}

const mostId = 0xfffffffe;

/** Throws "invalid" for a wrong value. */
export function parseTapConfig(call: Pick<PluginCall, "config" | "args">): TapConfig {
  const fields = configFields("tap", call);
  const context = fields.string("selinuxContext", "");
  if (/[\s\0]/.test(context) || context.length > 4096 || context.startsWith("-"))
    throw new TripodError("invalid", "tap configuration: selinuxContext is not of the form user:role:type:level");
  const bridge = fields.string("bridge", "");
  return {
    ...parseLinkConfig("tap", call),
    mac: requestedMac("tap", call, { key: true }),
    multiQueue: fields.boolean("multiQueue", false),
    owner: fields.optionalInteger("owner", 0, mostId),
    group: fields.optionalInteger("group", 0, mostId),
    selinuxContext: context === "" ? undefined : context,
    bridge: bridge === "" ? undefined : checkLinkName(bridge),
  };
}
