import { type Attribute, type AttributeMap, flag, u8, when } from "./attribute.ts";
import { IFLA_BRPORT } from "./rtnetlink-numbers.ts";

/** Settings of a bridge's port (ip-link(8), bridge_slave). */
export interface BridgePort {
  /** "forwarding" is what a port without STP is in once its link is up. */
  readonly state: "disabled" | "listening" | "learning" | "forwarding" | "blocking";
  /** Frames may leave by the port that they came in by. */
  readonly hairpin: boolean;
  /** No traffic between isolated ports. */
  readonly isolated: boolean;
  readonly learning: boolean;
  /** Send frames for unknown destinations out here. */
  readonly unicastFlood: boolean;
  readonly multicastFlood: boolean;
  readonly broadcastFlood: boolean;
  /** Drop BPDUs that come in. */
  readonly guard: boolean;
  /** Answer ARP and ND for known neighbours instead of flooding. */
  readonly neighbourSuppression: boolean;
}

export type BridgePortSettings = Partial<Omit<BridgePort, "state">>;

const states = ["disabled", "listening", "learning", "forwarding", "blocking"] as const;

export function decodeBridgePort(data: AttributeMap): BridgePort {
  return {
    state: states[data.u8(IFLA_BRPORT.STATE) ?? 0] ?? "disabled",
    hairpin: data.flag(IFLA_BRPORT.MODE) ?? false,
    isolated: data.flag(IFLA_BRPORT.ISOLATED) ?? false,
    learning: data.flag(IFLA_BRPORT.LEARNING) ?? true,
    unicastFlood: data.flag(IFLA_BRPORT.UNICAST_FLOOD) ?? true,
    multicastFlood: data.flag(IFLA_BRPORT.MCAST_FLOOD) ?? true,
    broadcastFlood: data.flag(IFLA_BRPORT.BCAST_FLOOD) ?? true,
    guard: data.flag(IFLA_BRPORT.GUARD) ?? false,
    neighbourSuppression: data.flag(IFLA_BRPORT.NEIGH_SUPPRESS) ?? false,
  };
}

/** The attributes of IFLA_INFO_SLAVE_DATA for what is given. */
export const encodeBridgePort = (settings: BridgePortSettings): Attribute[] => [
  ...when(settings.hairpin, (on) => u8(IFLA_BRPORT.MODE, on ? 1 : 0)),
  ...when(settings.isolated, (on) => flag(IFLA_BRPORT.ISOLATED, on)),
  ...when(settings.learning, (on) => flag(IFLA_BRPORT.LEARNING, on)),
  ...when(settings.unicastFlood, (on) => flag(IFLA_BRPORT.UNICAST_FLOOD, on)),
  ...when(settings.multicastFlood, (on) => flag(IFLA_BRPORT.MCAST_FLOOD, on)),
  ...when(settings.broadcastFlood, (on) => flag(IFLA_BRPORT.BCAST_FLOOD, on)),
  ...when(settings.guard, (on) => flag(IFLA_BRPORT.GUARD, on)),
  ...when(settings.neighbourSuppression, (on) => flag(IFLA_BRPORT.NEIGH_SUPPRESS, on)),
];
