import { TripodError } from "@tripod/base";
import { bytes, decodeAttributes, nested, u16, u32 } from "./attribute.ts";
import { AF } from "./ip-address.ts";
import { encodeLinkMessage } from "./link-message.ts";
import { NLM_F } from "./message.ts";
import { BRIDGE_FLAGS, BRIDGE_VLAN_INFO, IFLA, IFLA_BRIDGE, RTEXT_FILTER, RTM } from "./rtnetlink-numbers.ts";
import type { NetlinkSocket } from "./socket.ts";

/** A VLAN, or a range of them, that a bridge's port (or the bridge itself) belongs to. */
export interface BridgeVlan {
  /** 1 to 4094. */
  readonly id: number;
  /** The last of a range; `id` unless told. */
  readonly lastId?: number | undefined;
  /** Untagged frames that come in belong to it. Not for a range. */
  readonly pvid?: boolean | undefined;
  /** Frames leave without a tag. */
  readonly untagged?: boolean | undefined;
}

export interface BridgeVlanChange {
  /** Of the port, or of the bridge itself with `self`. */
  readonly index: number;
  readonly vlan: BridgeVlan;
  /** Apply to the bridge device itself instead of to a port. */
  readonly self?: boolean | undefined;
}

export const bridgeVlanAdd = (socket: NetlinkSocket, change: BridgeVlanChange): void =>
  send(socket, "RTM_SETLINK", RTM.SETLINK, change);

export const bridgeVlanDelete = (socket: NetlinkSocket, change: BridgeVlanChange): void =>
  send(socket, "RTM_DELLINK", RTM.DELLINK, change);

function send(socket: NetlinkSocket, name: string, type: number, change: BridgeVlanChange): void {
  const { id, lastId = id, pvid = false, untagged = false } = change.vlan;
  if (!(id >= 1 && lastId <= 4094 && id <= lastId) || (pvid && id !== lastId)) {
    throw new TripodError("invalid", `bridge VLAN ${id}-${lastId}: ids are 1 to 4094 and a PVID is a single one`);
  }
  const flags = (pvid ? BRIDGE_VLAN_INFO.PVID : 0) | (untagged ? BRIDGE_VLAN_INFO.UNTAGGED : 0);
  const infos =
    id === lastId
      ? [vlanInfo(flags, id)]
      : [vlanInfo(flags | BRIDGE_VLAN_INFO.RANGE_BEGIN, id), vlanInfo(flags | BRIDGE_VLAN_INFO.RANGE_END, lastId)];
  const attributes = [
    nested(IFLA.AF_SPEC, [
      u16(IFLA_BRIDGE.FLAGS, change.self === true ? BRIDGE_FLAGS.SELF : BRIDGE_FLAGS.MASTER),
      ...infos.map((info) => bytes(IFLA_BRIDGE.VLAN_INFO, info)),
    ]),
  ];
  const body = encodeLinkMessage({ family: AF.BRIDGE, index: change.index, attributes });
  socket.request({ name, object: `VLAN ${id} of link ${change.index}`, type, body });
}

const vlanInfo = (flags: number, id: number): Buffer => {
  const info = Buffer.alloc(4);
  info.writeUInt16LE(flags, 0);
  info.writeUInt16LE(id, 2);
  return info;
};

/** The VLANs of every bridge and port, by the link's index. */
export function bridgeVlans(socket: NetlinkSocket): Map<number, BridgeVlan[]> {
  const replies = socket.request({
    name: "RTM_GETLINK",
    object: "bridge VLANs",
    type: RTM.GETLINK,
    flags: NLM_F.DUMP,
    body: encodeLinkMessage({ family: AF.BRIDGE, attributes: [u32(IFLA.EXT_MASK, RTEXT_FILTER.BRVLAN)] }),
  });
  const vlans = new Map<number, BridgeVlan[]>();
  for (const { body } of replies) {
    if (body.length < 16) throw new TripodError("corrupt", `RTM_NEWLINK: a body of ${body.length} bytes`);
    const list: BridgeVlan[] = [];
    for (const attribute of decodeAttributes(body.subarray(16))) {
      if (attribute.type !== IFLA.AF_SPEC) continue;
      for (const { type, value } of decodeAttributes(attribute.value)) {
        if (type !== IFLA_BRIDGE.VLAN_INFO || value.length < 4) continue;
        const flags = value.readUInt16LE(0);
        const pvid = (flags & BRIDGE_VLAN_INFO.PVID) !== 0;
        list.push({ id: value.readUInt16LE(2), pvid, untagged: (flags & BRIDGE_VLAN_INFO.UNTAGGED) !== 0 });
      }
    }
    vlans.set(body.readInt32LE(4), list);
  }
  return vlans;
}
