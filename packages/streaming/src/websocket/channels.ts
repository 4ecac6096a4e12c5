import { Duplex } from "node:stream";
import { TripodError } from "@tripod/base";
import type { WebSocket } from "ws";

/** How much of one channel waits unread before the whole connection is held back: WebSocket has no windows of its own. */
const channelBufferBytes = 1024 * 1024;
/** The most in one message that is written; the channel's byte comes on top. */
const maxMessageBytes = 64 * 1024;
const pingIntervalMs = 30_000;

export interface WebSocketChannelsOptions {
  /** Text messages with the channel as a digit and the data in base64, instead of binary ones. */
  readonly base64: boolean;
  /** The channel number whose messages name a channel to be ended; undefined where the protocol has none. */
  readonly closeChannel?: number;
  /** Whether this side ends single channels so. Only clients do: kubectl takes a server's message of that kind for an error. */
  readonly announceEnds?: boolean;
}

/** Byte streams numbered 0 to 254 over the messages of one WebSocket: each message is a channel's number, then data. */
export class WebSocketChannels {
  /** Resolves when the connection is gone, with the reason unless both sides agreed on its end. */
  readonly closed: Promise<{ readonly error?: TripodError }>;
  readonly #ws: WebSocket;
  readonly #options: WebSocketChannelsOptions;
  readonly #channels = new Map<number, WebSocketChannel>();
  #lastDataAt = performance.now();
  #closing = false;

  constructor(ws: WebSocket, options: WebSocketChannelsOptions) {
    this.#ws = ws;
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<{ readonly error?: TripodError }>();
    this.closed = promise;
    const pinger = setInterval(() => ws.ping(), pingIntervalMs).unref();
    let failure: TripodError | undefined;
    ws.on("error", (error) => {
      failure ??= new TripodError("invalid", `websocket: ${error.message}`, { cause: error });
    });
    // nodebuffer is the default binary type, so data is a Buffer
    ws.on("message", (data, isBinary) => this.#message(data as Buffer, isBinary));
    ws.once("close", (code) => {
      clearInterval(pinger);
      if (code !== 1000) failure ??= new TripodError("cancelled", `websocket: the peer went away (code ${code})`);
      for (const each of this.#channels.values()) each.connectionClosed(failure);
      resolve(failure === undefined ? {} : { error: failure });
    });
  }

  get idleMs(): number {
    return performance.now() - this.#lastDataAt;
  }

  /** Begins to read. What comes for a channel that nobody asked for by then is dropped. */
  start(): void {
    this.#hold();
  }

  /** The channel's two directions. */
  channel(number: number): Duplex {
    let found = this.#channels.get(number);
    if (found === undefined) {
      found = new WebSocketChannel({
        send: (data, done) => this.send(number, data, done),
        end: (done) => this.#end(number, done),
        held: () => this.#hold(),
      });
      this.#channels.set(number, found);
    }
    return found;
  }

  /** Sends one message; `done` is called when the kernel has it. */
  send(number: number, data: Buffer, done: (error?: Error | null) => void = () => {}): void {
    this.#lastDataAt = performance.now();
    if (this.#options.base64) this.#ws.send(`${number}${data.toString("base64")}`, { binary: false }, done);
    else this.#ws.send(Buffer.concat([Buffer.from([number]), data]), { binary: true }, done);
  }

  /** Agrees with the peer on the end of the connection; what it still sends is dropped. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#ws.resume();
    this.#ws.close(1000);
    await this.closed;
  }

  destroy(): void {
    this.#ws.terminate();
  }

  #end(number: number, done: () => void): void {
    if (this.#options.closeChannel === undefined || this.#options.announceEnds !== true) done();
    else this.send(this.#options.closeChannel, Buffer.from([number]), () => done());
  }

  #message(data: Buffer, isBinary: boolean): void {
    if (data.length === 0 || this.#closing) return;
    this.#lastDataAt = performance.now();
    let number = data.readUInt8(0);
    let payload = data.subarray(1);
    if (this.#options.base64) {
      number -= 0x30;
      payload = Buffer.from(payload.toString("latin1"), "base64");
    } else if (!isBinary) {
      this.#ws.close(1003, "binary messages only");
      return;
    }
    if (number === this.#options.closeChannel) {
      if (payload.length > 0) this.#channels.get(payload.readUInt8(0))?.receiveEnd();
    } else if (payload.length > 0) {
      this.#channels.get(number)?.receive(payload);
      this.#hold();
    }
  }

  /** Reads from the connection only while no channel has too much unread. */
  #hold(): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    const full = [...this.#channels.values()].some(
      (each) => !each.destroyed && each.readableLength > channelBufferBytes,
    );
    if (full && !this.#closing) this.#ws.pause();
    else this.#ws.resume();
  }
}

interface ChannelLink {
  readonly send: (data: Buffer, done: (error?: Error | null) => void) => void;
  readonly end: (done: () => void) => void;
  /** The reader took something, or is gone. */
  readonly held: () => void;
}

class WebSocketChannel extends Duplex {
  readonly #link: ChannelLink;
  #ended = false;

  constructor(link: ChannelLink) {
    super({ allowHalfOpen: true, highWaterMark: 256 * 1024, autoDestroy: false });
    this.#link = link;
    this.on("error", () => {}); // an unheard failure must not end the process; pipeline and finished still see it
  }

  receive(data: Buffer): void {
    if (!this.#ended && !this.destroyed) this.push(data);
  }

  receiveEnd(): void {
    if (this.#ended || this.destroyed) return;
    this.#ended = true;
    this.push(null);
  }

  /** An agreed end is the end of every channel; any other breaks those that were not over. */
  connectionClosed(error: TripodError | undefined): void {
    if (error === undefined) this.receiveEnd();
    else if (!this.#ended || !this.writableFinished) this.destroy(error);
  }

  override _read(): void {
    this.#link.held();
  }

  override _write(data: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    for (let offset = 0; offset < data.length || offset === 0; offset += maxMessageBytes) {
      const last = offset + maxMessageBytes >= data.length;
      this.#link.send(data.subarray(offset, offset + maxMessageBytes), last ? done : () => {});
    }
  }

  override _final(done: () => void): void {
    this.#link.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    done(error);
    this.#link.held();
  }
}
