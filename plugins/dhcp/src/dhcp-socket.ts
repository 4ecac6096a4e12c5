import { TripodError } from "@tripod/base";
import { type BpfInstruction, openRtnetlink, PacketSocket, parseMac } from "@tripod/linux";
import { decodeDhcp, type DhcpMessage, encodeDhcp } from "./dhcp-message.ts";
import { decodeUdpFrame, encodeUdpFrame, etherTypeIpv4 } from "./udp-frame.ts";

const clientPort = 68;
const serverPort = 67;
const everyone = Buffer.alloc(4, 0xff);
const everyonesMac = Buffer.alloc(6, 0xff);

/** A server, as it answered. */
export interface DhcpPeer {
  readonly ip: Uint8Array;
  /** Its own, or that of the relay or router through which it answered. */
  readonly mac: Uint8Array;
}

/** A server's answer to this client. */
export interface DhcpReply {
  readonly message: DhcpMessage;
  readonly mac: Uint8Array;
}

/** UDP to the client's port, unfragmented: IPv4 whose protocol, fragment and port at its place after the header say so. */
const toClients: readonly BpfInstruction[] = [
  [0x30, 0, 0, 23], // ldb [23]: the protocol
  [0x15, 0, 6, 17], // UDP?
  [0x28, 0, 0, 20], // ldh [20]: flags and fragment
  [0x45, 4, 0, 0x1fff], // a later fragment?
  [0xb1, 0, 0, 14], // ldxb 4*([14]&0xf): the header's length
  [0x48, 0, 0, 16], // ldh [x+16]: the port
  [0x15, 0, 1, clientPort],
  [0x06, 0, 0, 0xffff], // all of it
  [0x06, 0, 0, 0],
];

/** How an interface is reached. */
export interface InterfacePlace {
  readonly netns: string;
  readonly ifname: string;
}

/** DHCP of a client on an interface that may have no address yet (RFC 2131, 4.1). */
export class DhcpSocket implements Disposable {
  readonly mac: Buffer;
  readonly #packets: PacketSocket;

  /** Sets the interface up. "not-found" when it is gone. */
  constructor({ netns, ifname }: InterfacePlace) {
    using there = openRtnetlink({ netns });
    const { index, mac, up } = there.linkByName(ifname);
    if (!up) there.linkSet(index, { up: true });
    this.mac = parseMac(mac);
    this.#packets = new PacketSocket({ netns, index, etherType: etherTypeIpv4, filter: toClients });
  }

  /** From the address that the client has (`ciaddr`), if any; to one server, or to everyone. */
  send(message: DhcpMessage, to?: DhcpPeer): void {
    this.#packets.send(
      encodeUdpFrame({
        fromMac: this.mac,
        toMac: to?.mac ?? everyonesMac,
        from: message.ciaddr,
        to: to?.ip ?? everyone,
        fromPort: clientPort,
        toPort: serverPort,
        payload: encodeDhcp(message),
      }),
    );
  }

  /**
   * What `accept` makes of the first answer to `xid` that it does not return undefined for. Undefined after `ms`. An answer for which it throws
   * is passed over like one that is no DHCP; `refused` is told why.
   */
  receive<T>(
    accept: (reply: DhcpReply) => T | undefined,
    {
      xid,
      ms,
      signal,
      refused,
    }: {
      readonly xid: number;
      readonly ms: number;
      readonly signal: AbortSignal;
      readonly refused: (error: unknown) => void;
    },
  ): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clearTimeout(timer);
        listening[Symbol.dispose]();
        signal.removeEventListener("abort", aborted);
        settle();
      };
      const aborted = (): void => finish(() => reject(signal.reason));
      const timer = setTimeout(() => finish(() => resolve(undefined)), ms);
      const heard = (frame: Buffer): void => {
        try {
          const datagram = decodeUdpFrame(frame);
          if (datagram === undefined || datagram.fromPort !== serverPort) return;
          const message = decodeDhcp(Buffer.from(datagram.payload));
          if (message.op !== 2 || message.xid !== xid || !this.mac.equals(message.mac)) return;
          const accepted = accept({ message, mac: datagram.fromMac });
          if (accepted !== undefined) finish(() => resolve(accepted));
        } catch (error) {
          refused(error);
        }
      };
      const listening = this.#packets.listen(heard, (error) =>
        finish(() =>
          reject(
            new TripodError("unavailable", "DHCP: the interface went down while a server was waited for", {
              cause: error,
            }),
          ),
        ),
      );
      if (signal.aborted) aborted();
      else signal.addEventListener("abort", aborted);
    });
  }

  [Symbol.dispose](): void {
    this.#packets[Symbol.dispose]();
  }
}
