import { closeSync, openSync } from "node:fs";
import { bytes, flag, nested, text, u32, when } from "./attribute.ts";
import { type BridgePortSettings, encodeBridgePort } from "./bridge-port.ts";
import { checkLinkName, encodeLinkMessage } from "./link-message.ts";
import { parseMac } from "./mac-address.ts";
import { IFF, IFLA, IFLA_BR, IFLA_INFO, RTM } from "./rtnetlink-numbers.ts";
import type { NetlinkSocket } from "./socket.ts";

/** What may be changed of an interface; what is left out stays. */
export interface LinkChanges {
  readonly up?: boolean | undefined;
  /** Index of a bridge or VRF, or "none" to leave it. */
  readonly master?: number | "none" | undefined;
  readonly mtu?: number | undefined;
  readonly name?: string | undefined;
  readonly mac?: string | undefined;
  readonly alias?: string | undefined;
  readonly promiscuous?: boolean | undefined;
  readonly allMulticast?: boolean | undefined;
  readonly arp?: boolean | undefined;
  readonly txQueueLength?: number | undefined;
  /** Moves the interface into the namespace at this path. It goes down there and loses its addresses. */
  readonly netns?: string | undefined;
  /** Settings as a bridge's port; it must be one, or become one by `master`. */
  readonly port?: BridgePortSettings | undefined;
  /** Of a bridge. */
  readonly vlanFiltering?: boolean | undefined;
}

/** Changes the interface with this index; `name` is for errors. Several changes are several steps: an error may leave some done. */
export function linkSet(socket: NetlinkSocket, index: number, name: string, changes: LinkChanges): void {
  const descriptor = changes.netns === undefined ? undefined : openSync(changes.netns, "r");
  try {
    const flags = encodeFlags(changes);
    const send = (message: Parameters<typeof encodeLinkMessage>[0]): void => {
      socket.request({
        name: "RTM_NEWLINK",
        object: name,
        type: RTM.NEWLINK,
        body: encodeLinkMessage({ index, ...message }),
      });
    };
    send({
      ...flags,
      attributes: [
        ...when(changes.name, (newName) => text(IFLA.IFNAME, checkLinkName(newName))),
        ...when(changes.mtu, (mtu) => u32(IFLA.MTU, mtu)),
        ...when(changes.mac, (mac) => bytes(IFLA.ADDRESS, parseMac(mac))),
        ...when(changes.alias, (alias) => text(IFLA.IFALIAS, alias)),
        ...when(changes.txQueueLength, (length) => u32(IFLA.TXQLEN, length)),
        ...when(changes.master, (master) => u32(IFLA.MASTER, master === "none" ? 0 : master)),
        ...when(descriptor, (fd) => u32(IFLA.NET_NS_FD, fd)),
        ...when(changes.vlanFiltering, (on) =>
          nested(IFLA.LINKINFO, [
            text(IFLA_INFO.KIND, "bridge"),
            nested(IFLA_INFO.DATA, [flag(IFLA_BR.VLAN_FILTERING, on)]),
          ]),
        ),
      ],
    });
    // The kernel looks at port settings before it looks at a new master, so they come in a message of their own.
    if (changes.port !== undefined) {
      const data = nested(IFLA_INFO.SLAVE_DATA, encodeBridgePort(changes.port));
      send({ attributes: [nested(IFLA.LINKINFO, [text(IFLA_INFO.SLAVE_KIND, "bridge"), data])] });
    }
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function encodeFlags(changes: LinkChanges): { flags: number; change: number } {
  let flags = 0;
  let change = 0;
  const set = (bit: number, on: boolean | undefined): void => {
    if (on === undefined) return;
    change |= bit;
    if (on) flags |= bit;
  };
  set(IFF.UP, changes.up);
  set(IFF.PROMISC, changes.promiscuous);
  set(IFF.ALLMULTI, changes.allMulticast);
  set(IFF.NOARP, changes.arp === undefined ? undefined : !changes.arp);
  return { flags, change };
}
