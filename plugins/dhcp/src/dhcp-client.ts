import { randomBytes } from "node:crypto";
import { Backoff, type BackoffOptions, messageOf, TripodError } from "@tripod/base";
import { formatIp, parseCidr, parseIp } from "@tripod/cni/sdk";
import { formatMac, parseMac } from "@tripod/linux";
import { type DhcpMessage, messageTypes, options } from "./dhcp-message.ts";
import { type DhcpPeer, type DhcpReply, DhcpSocket, type InterfacePlace } from "./dhcp-socket.ts";
import { bytesOfIp, type LeaseTerms, readTerms } from "./lease-terms.ts";

/** How patient a client is, in milliseconds. */
export interface Patience {
  /** All of an ADD. */
  readonly totalMs: number;
  /** For an answer to a REQUEST, before everything starts again. */
  readonly answerMs: number;
  /** The longest pause between two messages. */
  readonly resendMs: number;
}

/** Who asks, and for what: the same in every message about a lease. */
export interface ClientIdentity {
  /** Option 61, in hex. */
  readonly clientId: string;
  /** Options to send, by code, as text. */
  readonly provide: readonly (readonly [code: number, value: string])[];
  /** Options to ask for. */
  readonly request: readonly number[];
  /** Whether servers are to answer to everyone: for interfaces that share a MAC (ipvlan). */
  readonly broadcast: boolean;
}

/** An address at a server that has it for this client, or may. */
export interface Held {
  /** Without prefix. */
  readonly address: string;
  readonly server: string;
  readonly serverMac: string;
}

/** A server's refusal of a REQUEST: the address must not be used (any longer). */
export interface Refusal {
  readonly refused: string;
}

export interface Granted {
  readonly terms: LeaseTerms;
  readonly held: Held;
}

const nobody = Buffer.alloc(4);
/** What fits an Ethernet frame. */
const maximumMessageSize = Buffer.from([1500 >>> 8, 1500 & 0xff]);
/** After a first message: soon, for what forwards for an interface that was just made may not do so yet. */
const firstResendMs = 100;
/** Between two requests for more time. */
const renewResends: BackoffOptions = { initialMs: 2000, maxMs: 2000 };

const typeOf = ({ message }: DhcpReply): number | undefined => message.options.get(options.messageType)?.[0];

/** One conversation of a client on one interface. */
export class DhcpClient implements Disposable {
  readonly #socket: DhcpSocket;
  readonly #place: InterfacePlace;
  readonly #identity: ClientIdentity;
  readonly #xid = randomBytes(4).readUInt32BE(0);
  readonly #begun = performance.now();
  /** Why the last answer that was passed over was no use. */
  #problem = "";

  constructor(place: InterfacePlace, identity: ClientIdentity) {
    this.#place = place;
    this.#identity = identity;
    this.#socket = new DhcpSocket(place);
  }

  #message(type: number, { ciaddr = nobody, more = [] }: MessageParts = {}): DhcpMessage {
    const { clientId, provide, request, broadcast } = this.#identity;
    const asks = type === messageTypes.discover || type === messageTypes.request;
    return {
      op: 1,
      xid: this.#xid,
      secs: Math.floor((performance.now() - this.#begun) / 1000),
      // A client that has its address can be answered at it.
      broadcast: broadcast && ciaddr === nobody,
      ciaddr,
      yiaddr: nobody,
      mac: this.#socket.mac,
      options: new Map<number, Uint8Array>([
        [options.messageType, Buffer.from([type])],
        [options.clientIdentifier, Buffer.from(clientId, "hex")],
        ...(asks
          ? ([
              [options.maximumMessageSize, maximumMessageSize],
              [options.parameterRequestList, Buffer.from(request)],
            ] as const)
          : []),
        ...(asks ? provide.map(([code, value]) => [code, Buffer.from(value)] as const) : []),
        ...more,
      ]),
    };
  }

  /** Sends, and again at growing intervals, until `accept` takes an answer or `ms` are over. */
  async #ask<T>(
    message: () => DhcpMessage,
    accept: (reply: DhcpReply) => T | undefined,
    {
      to,
      ms,
      resends,
      signal,
    }: { to?: DhcpPeer | undefined; ms: number; resends: BackoffOptions; signal: AbortSignal },
  ): Promise<T | undefined> {
    const backoff = new Backoff(resends);
    const deadline = performance.now() + ms;
    const refused = (error: unknown): void => {
      this.#problem = messageOf(error);
    };
    for (;;) {
      const left = deadline - performance.now();
      if (left <= 0) return undefined;
      this.#socket.send(message(), to);
      // Clients that were started by one event are not to stay in step (RFC 2131, 4.1).
      const pause = Math.min(left, backoff.next() * (0.9 + Math.random() * 0.2));
      const accepted = await this.#socket.receive(accept, { xid: this.#xid, ms: pause, signal, refused });
      if (accepted !== undefined) return accepted;
    }
  }

  /**
   * Discovers a server and has it give an address. `chosen` is called before the REQUEST goes out: from then on the server may have the address
   * for this client. "unavailable" when no server gave one in time.
   */
  async acquire(patience: Patience, signal: AbortSignal, chosen: (held: Held) => void): Promise<Granted> {
    const deadline = performance.now() + patience.totalMs;
    const left = (): number => deadline - performance.now();
    const resends: BackoffOptions = { initialMs: firstResendMs, maxMs: patience.resendMs };
    while (left() > 0) {
      const offer = await this.#ask(
        () => this.#message(messageTypes.discover),
        (reply) => (typeOf(reply) === messageTypes.offer ? granted(reply) : undefined),
        { ms: left(), resends, signal },
      );
      if (offer === undefined) break;
      chosen(offer.held);
      const { address, server } = offer.held;
      const more = [
        [options.requestedAddress, bytesOfIp(parseIp(address))],
        [options.serverIdentifier, bytesOfIp(parseIp(server))],
      ] as const;
      const answer = await this.#ask(
        () => this.#message(messageTypes.request, { more }),
        (reply) => verdict(reply, server),
        { ms: Math.min(patience.answerMs, left()), resends, signal },
      );
      if (answer !== undefined && "terms" in answer) return answer;
      this.#problem = answer === undefined ? `${server} offered ${address} and then fell silent` : answer.refused;
    }
    const { ifname, netns } = this.#place;
    const about = `get an address by DHCP for ${ifname} in ${netns}`;
    const seconds = Math.round(patience.totalMs / 1000);
    throw new TripodError(
      "unavailable",
      this.#problem === ""
        ? `${about}: no server answered in ${seconds} s; is there one in the interface's network?`
        : `${about}: no server gave one in ${seconds} s; the last thing wrong was: ${this.#problem}`,
    );
  }

  /**
   * Asks for more time: the server that gave the address, or, `anyone`, whichever hears it. Undefined when nobody answered in `ms`.
   */
  extend(
    held: Held,
    { anyone, ms, signal }: { readonly anyone: boolean; readonly ms: number; readonly signal: AbortSignal },
  ): Promise<Granted | Refusal | undefined> {
    const ciaddr = bytesOfIp(parseIp(held.address));
    return this.#ask(
      () => this.#message(messageTypes.request, { ciaddr }),
      (reply) => verdict(reply, anyone ? undefined : held.server),
      { to: anyone ? undefined : peerOf(held), ms, resends: renewResends, signal },
    );
  }

  /** Gives the address back. Nobody answers to that. */
  release(held: Held): void {
    const more = [[options.serverIdentifier, bytesOfIp(parseIp(held.server))]] as const;
    const ciaddr = bytesOfIp(parseIp(held.address));
    this.#socket.send(this.#message(messageTypes.release, { ciaddr, more }), peerOf(held));
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

interface MessageParts {
  readonly ciaddr?: Uint8Array;
  readonly more?: readonly (readonly [code: number, value: Uint8Array])[];
}

const peerOf = ({ server, serverMac }: Held): DhcpPeer => ({
  ip: bytesOfIp(parseIp(server)),
  mac: parseMac(serverMac),
});

function granted({ message, mac }: DhcpReply): Granted {
  const terms = readTerms(message);
  const address = formatIp(parseCidr(terms.address).ip);
  return { terms, held: { address, server: terms.server, serverMac: formatMac(mac) } };
}

/** An ACK or NAK, of `server` alone where one is meant. */
function verdict(reply: DhcpReply, server: string | undefined): Granted | Refusal | undefined {
  const type = typeOf(reply);
  if (type !== messageTypes.ack && type !== messageTypes.nak) return undefined;
  const from = reply.message.options.get(options.serverIdentifier);
  if (server !== undefined && (from === undefined || !bytesOfIp(parseIp(server)).equals(from))) return undefined;
  if (type === messageTypes.ack) return granted(reply);
  const text = Buffer.from(reply.message.options.get(options.message) ?? [])
    .toString("latin1")
    .replaceAll(/[^\x20-\x7e]/g, "?");
  return { refused: `the server refused the address${text === "" ? "" : `: ${text}`}` };
}
