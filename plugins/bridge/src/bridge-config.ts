import { TripodError } from "@tripod/base";
import {
  configFields,
  Fields,
  type JsonObject,
  type LinkConfig,
  parseLinkConfig,
  type PluginCall,
  requestedMac,
} from "@tripod/cni/sdk";
import { checkLinkName } from "@tripod/linux";

/** What the bridge plugin is asked to do; the keys are upstream's. */
export interface BridgeConfig extends LinkConfig {
  readonly bridge: string;
  readonly isGateway: boolean;
  readonly isDefaultGateway: boolean;
  readonly forceAddress: boolean;
  readonly ipMasq: boolean;
  readonly hairpinMode: boolean;
  readonly promiscMode: boolean;
  readonly portIsolation: boolean;
  readonly disableContainerInterface: boolean;
  readonly macspoofchk: boolean;
  /** 0 for none. */
  readonly vlan: number;
  /** Ranges of tagged VLANs that the port carries beside `vlan`. */
  readonly trunk: readonly { readonly id: number; readonly lastId: number }[];
  readonly preserveDefaultVlan: boolean;
  readonly mac: string | undefined;
}

const wrong = (why: string): TripodError => new TripodError("invalid", `bridge configuration: ${why}`);

function parseTrunk(objects: readonly JsonObject[]): BridgeConfig["trunk"] {
  return objects.flatMap((object) => {
    const fields = new Fields(object, "bridge configuration: vlanTrunk");
    const [min, max, id] = ["minID", "maxID", "id"].map((key) => fields.optionalInteger(key, 1, 4094));
    if ((min === undefined) !== (max === undefined))
      throw wrong("vlanTrunk has one of minID and maxID without the other");
    if (min !== undefined && max !== undefined && max < min)
      throw wrong(`vlanTrunk's maxID ${max} is less than its minID ${min}`);
    return [
      ...(min === undefined || max === undefined ? [] : [{ id: min, lastId: max }]),
      ...(id === undefined ? [] : [{ id, lastId: id }]),
    ];
  });
}

/** Throws "invalid" for a wrong value and for keys that contradict one another. */
export function parseBridgeConfig(call: Pick<PluginCall, "config" | "args">): BridgeConfig {
  const fields = configFields("bridge", call);
  const bridge = fields.string("bridge", "") === "" ? "cni0" : fields.string("bridge", "");
  const isDefaultGateway = fields.boolean("isDefaultGateway", false);
  const config: BridgeConfig = {
    ...parseLinkConfig("bridge", call),
    bridge: checkLinkName(bridge),
    isGateway: fields.boolean("isGateway", false) || isDefaultGateway,
    isDefaultGateway,
    forceAddress: fields.boolean("forceAddress", false),
    ipMasq: fields.boolean("ipMasq", false),
    hairpinMode: fields.boolean("hairpinMode", false),
    promiscMode: fields.boolean("promiscMode", false),
    portIsolation: fields.boolean("portIsolation", false),
    disableContainerInterface: fields.boolean("disableContainerInterface", false),
    macspoofchk: fields.boolean("macspoofchk", false),
    vlan: fields.optionalInteger("vlan", 0, 4094) ?? 0,
    trunk: parseTrunk(fields.objects("vlanTrunk")),
    preserveDefaultVlan: fields.boolean("preserveDefaultVlan", false),
    mac: requestedMac("bridge", call),
  };
  if (config.hairpinMode && config.promiscMode)
    throw wrong("hairpinMode and promiscMode exclude one another; choose one");
  if (config.disableContainerInterface && config.ipam !== undefined)
    throw wrong("disableContainerInterface leaves nothing to give an address to; remove ipam");
  if (fields.has("ipMasqBackend") && fields.string("ipMasqBackend", "") !== "nftables")
    throw wrong(
      `ipMasqBackend is ${fields.string("ipMasqBackend", "")}; this plugin masquerades with nftables alone: remove the key`,
    );
  return config;
}
