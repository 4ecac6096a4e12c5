import type { Duplex } from "node:stream";
import { isTripodError, messageOf, TripodError } from "@tripod/base";
import {
  controlFrame,
  dataFrameHeader,
  flagFin,
  type FrameHeader,
  frameHeaderBytes,
  frameType,
  goAwayStatus,
  parseFrameHeader,
  resetStatus,
  settingInitialWindowSize,
} from "./frame.ts";
import { encodeHeaderBlock, parseHeaderBlock } from "./header-block.ts";
import { HeaderDeflater, HeaderInflater } from "./header-compression.ts";
import { SpdyStream, type StreamLink, streamWindowBytes } from "./stream.ts";

/** How many bytes of all streams together wait here unread before the peer must stop. */
const sessionWindowBytes = 16 * 1024 * 1024;
/** The windows that SPDY/3.1 starts with. */
const defaultWindowBytes = 64 * 1024;
const maxWindow = 0x7fffffff;
/** The most that may wait to be written before the peer is given up. */
const maxBacklogBytes = 128 * 1024 * 1024;

export interface SpdySessionOptions {
  readonly role: "server" | "client";
  /** Called for each stream that the peer opens; it replies or refuses at once. Without it all are refused. */
  readonly onStream?: (stream: SpdyStream) => void;
  /** The most streams open at a time; 2,000 unless told. */
  readonly maxStreams?: number;
  /** How often a ping finds out whether the peer is still there; 30,000 unless told. */
  readonly pingIntervalMs?: number;
  /** How long close() waits for the peer to close its side; 5,000 unless told. */
  readonly lingerMs?: number;
}

/**
 * A SPDY/3.1 connection over any byte stream, as Kubernetes uses it after `Upgrade: SPDY/3.1`.
 *
 * Flow control: the Go library behind kubectl knows no windows: it neither obeys nor returns them. So windows bind this side's writes only
 * once the peer has shown that it knows them (a SETTINGS or WINDOW_UPDATE frame), and a peer that does not is held back by not reading
 * from the transport while one of its streams has a full window unread.
 */
export class SpdySession {
  /** Resolves when the transport is gone, with the reason if it was not an orderly end. Never rejects. */
  readonly closed: Promise<{ readonly error?: TripodError }>;
  readonly #transport: Duplex;
  readonly #options: SpdySessionOptions;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #deflater = new HeaderDeflater();
  readonly #inflater = new HeaderInflater();
  readonly #closed = Promise.withResolvers<{ readonly error?: TripodError }>();
  readonly #pings = new Map<number, () => void>();
  readonly #pinger: NodeJS.Timeout;
  #nextStreamId: number;
  #lastPeerStreamId = 0;
  #nextPingId: number;
  #peerKnowsWindows = false;
  #sendWindow = defaultWindowBytes;
  #peerInitialWindow = defaultWindowBytes;
  #failure: TripodError | undefined;
  #closing = false;
  #goneAway = false;
  #consumed: (() => void) | undefined;
  #lingering: NodeJS.Timeout | undefined;
  #lastDataAt = performance.now();

  constructor(transport: Duplex, options: SpdySessionOptions) {
    this.#transport = transport;
    this.#options = options;
    this.closed = this.#closed.promise;
    this.#nextStreamId = options.role === "client" ? 1 : 2;
    this.#nextPingId = options.role === "client" ? 1 : 2;
    const pingIntervalMs = options.pingIntervalMs ?? 30_000;
    this.#pinger = setInterval(() => void this.ping(), pingIntervalMs).unref();
    transport.on("error", (error: Error) => {
      this.#failure ??= new TripodError("unavailable", `spdy: connection broke: ${error.message}`, { cause: error });
    });
    transport.once("close", () => this.#end());
    this.#send(controlFrame(frameType.settings, 0, [1, settingInitialWindowSize, streamWindowBytes]));
    this.#link.sendWindowUpdate(0, sessionWindowBytes - defaultWindowBytes);
    void this.#read();
  }

  /** Milliseconds since the last data went in either direction (pings do not count). */
  get idleMs(): number {
    return performance.now() - this.#lastDataAt;
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  /** Opens a stream and waits until the peer has accepted it. */
  async open(headers: Iterable<readonly [string, string]>): Promise<SpdyStream> {
    if (this.#closing || this.#goneAway || this.#transport.destroyed)
      throw new TripodError("unavailable", "spdy: open a stream: the connection is closing; connect again");
    const streamId = this.#nextStreamId;
    this.#nextStreamId += 2;
    const named = new Map(headers);
    const stream = this.#add(streamId, named, true);
    const block = this.#deflater.encode(encodeHeaderBlock(named));
    const tail = Buffer.concat([Buffer.from([0, 0]), block]); // priority 0 (the highest), slot 0
    this.#send(controlFrame(frameType.synStream, 0, [streamId, 0], tail));
    await stream.accepted;
    return stream;
  }

  /** Resolves with the peer's answer, or when the connection ends. */
  async ping(): Promise<void> {
    if (this.#transport.destroyed || this.#transport.writableEnded) return;
    const id = this.#nextPingId;
    this.#nextPingId = id > maxWindow - 2 ? id - maxWindow + 1 : id + 2;
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#pings.size < 100) this.#pings.set(id, resolve);
    else resolve(); // a peer that answers no ping is not kept in memory for ever
    this.#send(controlFrame(frameType.ping, 0, [id]));
    await promise;
  }

  /**
   * Orderly end: GOAWAY after everything that was written, then waits for the peer to close (what it still sends is dropped), at most
   * `lingerMs`. Closing the socket with unread bytes would make the kernel throw away what the peer has not read yet.
   */
  async close(status: number = goAwayStatus.ok): Promise<void> {
    if (!this.#closing && !this.#transport.destroyed) {
      this.#closing = true;
      this.#consumed?.();
      this.#send(controlFrame(frameType.goAway, 0, [this.#lastPeerStreamId, status]));
      this.#transport.end();
      for (const stream of this.#streams.values()) stream.discard();
      this.#lingering = setTimeout(() => this.#transport.destroy(), this.#options.lingerMs ?? 5_000);
    }
    await this.closed;
  }

  /** Ends at once, without a farewell. */
  destroy(error?: TripodError): void {
    this.#failure ??= error;
    this.#transport.destroy();
  }

  #add(streamId: number, headers: ReadonlyMap<string, string>, opened: boolean): SpdyStream {
    const stream = new SpdyStream(this.#link, streamId, headers, { sendWindow: this.#peerInitialWindow, opened });
    this.#streams.set(streamId, stream);
    return stream;
  }

  #send(frame: Buffer): void {
    if (this.#transport.writableEnded || this.#transport.destroyed) return;
    this.#transport.write(frame);
    // Data waits for room; answers to a peer that asks much and reads nothing must not pile up.
    if (this.#transport.writableLength > maxBacklogBytes)
      this.destroy(new TripodError("exhausted", `spdy: peer left ${maxBacklogBytes} bytes unread; connect again`));
  }

  readonly #link: StreamLink = {
    takeWindow: (stream, wanted) => {
      const size = this.#peerKnowsWindows ? Math.min(wanted, stream.sendWindow, this.#sendWindow) : wanted;
      if (size > 0) {
        stream.sendWindow -= size;
        this.#sendWindow -= size;
      }
      return size;
    },
    sendData: (streamId, data, fin, sent) => {
      this.#lastDataAt = performance.now();
      if (this.#transport.writableEnded || this.#transport.destroyed) {
        // An end that nobody is there to hear is no failure: the data before it has had its own.
        sent?.(data.length === 0 ? null : new TripodError("unavailable", "spdy: the connection is closed"));
        return;
      }
      const header = dataFrameHeader(streamId, fin ? flagFin : 0, data.length);
      if (data.length === 0) this.#transport.write(header, sent);
      else {
        this.#transport.cork();
        this.#transport.write(header);
        this.#transport.write(data, sent);
        this.#transport.uncork();
      }
    },
    sendReply: (streamId, headers, fin) => {
      const block = this.#deflater.encode(encodeHeaderBlock(headers));
      this.#send(controlFrame(frameType.synReply, fin ? flagFin : 0, [streamId], block));
    },
    sendReset: (streamId, status) => this.#send(controlFrame(frameType.rstStream, 0, [streamId, status])),
    sendWindowUpdate: (streamId, bytes) => this.#send(controlFrame(frameType.windowUpdate, 0, [streamId, bytes])),
    consumed: () => this.#consumed?.(),
    forget: (stream) => {
      this.#streams.delete(stream.streamId);
      this.#consumed?.();
    },
  };

  /** Reads to the end of the transport; then streams that were not over have failed. */
  async #read(): Promise<void> {
    await this.#readFrames();
    this.#inflater.close();
    const why = this.#failure ?? new TripodError("unavailable", "spdy: the connection was closed");
    for (const stream of this.#streams.values()) stream.connectionLost(why);
  }

  async #readFrames(): Promise<void> {
    let waiting: Buffer = Buffer.alloc(0);
    let header: FrameHeader | undefined;
    let left = 0;
    try {
      // Without the option the loop would destroy the transport at its end, and with it what is still to be written.
      for await (const chunk of this.#transport.iterator({ destroyOnReturn: false })) {
        let bytes = chunk as Buffer; // the transport is a byte stream
        if (waiting.length > 0) bytes = Buffer.concat([waiting, bytes]);
        for (;;) {
          if (header === undefined) {
            if (bytes.length < frameHeaderBytes) break;
            header = parseFrameHeader(bytes);
            left = header.length;
            bytes = bytes.subarray(frameHeaderBytes);
          }
          // Data goes on as it comes, however long its frame; a control frame is short and waits for its end.
          const size = Math.min(left, bytes.length);
          if (header.kind === "control" && size < left) break;
          const payload = bytes.subarray(0, size);
          bytes = bytes.subarray(size);
          left -= size;
          if (header.kind === "control") await this.#control(header.type, header.flags, payload);
          else await this.#data(header.streamId, payload, left === 0 && (header.flags & flagFin) !== 0);
          if (left > 0) break;
          header = undefined;
        }
        waiting = bytes;
      }
    } catch (error) {
      if (isTripodError(error)) {
        this.#failure ??= error;
        this.#send(controlFrame(frameType.goAway, 0, [this.#lastPeerStreamId, goAwayStatus.protocolError]));
        this.#transport.end(() => this.#transport.destroy());
        return;
      }
      const why = `spdy: connection broke: ${messageOf(error)}`;
      if (!this.#closing) this.#failure ??= new TripodError("unavailable", why, { cause: error });
      this.#transport.destroy();
      return;
    }
    // The peer has ended its side: nothing can be agreed any more.
    if (this.#transport.writableEnded) this.#transport.destroy();
    else this.#transport.end(() => this.#transport.destroy());
  }

  async #data(streamId: number, data: Buffer, fin: boolean): Promise<void> {
    this.#lastDataAt = performance.now();
    const stream = this.#streams.get(streamId);
    if (stream === undefined || this.#closing) {
      if (data.length > 0) this.#link.sendWindowUpdate(0, data.length);
      if (fin) stream?.receiveFin();
      return;
    }
    if (data.length > 0) {
      const limit = this.#peerKnowsWindows ? streamWindowBytes : Number.POSITIVE_INFINITY;
      if (!stream.receive(data, limit)) {
        this.#link.sendReset(streamId, resetStatus.flowControlError);
        stream.fail(new TripodError("invalid", `spdy: peer sent more on stream ${streamId} than it may`));
        return;
      }
      await this.#roomFor(stream);
    }
    if (fin) stream.receiveFin();
  }

  /** Waits while the stream, or all of them together, have too much unread. A peer that keeps to its windows never gets here. */
  async #roomFor(stream: SpdyStream): Promise<void> {
    while (!this.#transport.destroyed && !this.#closing && this.#isFull(stream)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#consumed = resolve;
      await Promise.race([promise, this.closed]);
      this.#consumed = undefined;
    }
  }

  #isFull(stream: SpdyStream): boolean {
    if (stream.unreadBytes > streamWindowBytes) return true;
    let unread = 0;
    for (const each of this.#streams.values()) unread += each.unreadBytes;
    return unread > sessionWindowBytes;
  }

  async #control(type: number, flags: number, payload: Buffer): Promise<void> {
    const word = (index: number): number => {
      if (payload.length < index * 4 + 4)
        throw new TripodError("invalid", `spdy: control frame of type ${type} is too short (${payload.length} bytes)`);
      return payload.readUInt32BE(index * 4);
    };
    const streamId = (): number => word(0) & maxWindow;
    switch (type) {
      case frameType.synStream: {
        word(1);
        const headers = parseHeaderBlock(await this.#inflater.decode(payload.subarray(10)));
        this.#opened(streamId(), headers, (flags & flagFin) !== 0);
        return;
      }
      case frameType.synReply: {
        const id = streamId();
        parseHeaderBlock(await this.#inflater.decode(payload.subarray(4)));
        this.#streams.get(id)?.receiveReply();
        if ((flags & flagFin) !== 0) this.#streams.get(id)?.receiveFin();
        return;
      }
      case frameType.headers:
        // Kubernetes sends none after the first; the block still belongs to the compressed stream.
        streamId();
        await this.#inflater.decode(payload.subarray(4));
        return;
      case frameType.rstStream: {
        const status = word(1);
        const reset = this.#streams.get(streamId());
        const code = status === resetStatus.refusedStream ? "unavailable" : "cancelled";
        const error = new TripodError(code, `spdy: peer reset stream ${streamId()} (status ${status})`);
        // A server's streams belong to a command that has to learn at once that nobody is there any more.
        if (this.#options.role === "client") reset?.peerReset(error);
        else reset?.fail(error);
        return;
      }
      case frameType.settings:
        this.#settings(payload, Math.min(word(0), 64));
        return;
      case frameType.ping: {
        const id = word(0);
        if (id % 2 === this.#nextPingId % 2) {
          this.#pings.get(id)?.();
          this.#pings.delete(id);
        } else this.#send(controlFrame(frameType.ping, 0, [id]));
        return;
      }
      case frameType.goAway:
        word(0);
        this.#goneAway = true; // what is open goes on to its end; nothing new is opened
        return;
      case frameType.windowUpdate:
        this.#windowUpdate(streamId(), word(1) & maxWindow);
        return;
      default: // unknown types are passed over, as the protocol says
    }
  }

  #opened(streamId: number, headers: ReadonlyMap<string, string>, fin: boolean): void {
    const peerParity = this.#options.role === "server" ? 1 : 0;
    if (streamId === 0 || streamId % 2 !== peerParity || streamId <= this.#lastPeerStreamId)
      throw new TripodError("invalid", `spdy: peer opened stream ${streamId} after ${this.#lastPeerStreamId}`);
    this.#lastPeerStreamId = streamId;
    if (
      this.#closing ||
      this.#options.onStream === undefined ||
      this.#streams.size >= (this.#options.maxStreams ?? 2000)
    ) {
      this.#link.sendReset(streamId, resetStatus.refusedStream);
      return;
    }
    this.#lastDataAt = performance.now();
    const stream = this.#add(streamId, headers, false);
    if (fin) stream.receiveFin();
    this.#options.onStream(stream);
  }

  #settings(payload: Buffer, count: number): void {
    this.#peerKnowsWindows = true;
    for (let index = 0; index < count && payload.length >= 12 + index * 8; index += 1) {
      const id = payload.readUInt32BE(4 + index * 8) & 0xffffff;
      if (id !== settingInitialWindowSize) continue;
      const size = Math.min(payload.readUInt32BE(8 + index * 8), maxWindow);
      const change = size - this.#peerInitialWindow;
      this.#peerInitialWindow = size;
      for (const stream of this.#streams.values()) stream.sendWindow += change;
    }
    for (const stream of this.#streams.values()) stream.pump();
  }

  #windowUpdate(streamId: number, bytes: number): void {
    this.#peerKnowsWindows = true;
    if (streamId === 0) {
      this.#sendWindow = Math.min(this.#sendWindow + bytes, maxWindow);
      for (const stream of this.#streams.values()) stream.pump();
      return;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    stream.sendWindow = Math.min(stream.sendWindow + bytes, maxWindow);
    stream.pump();
  }

  #end(): void {
    clearInterval(this.#pinger);
    clearTimeout(this.#lingering);
    for (const answer of this.#pings.values()) answer();
    this.#pings.clear();
    this.#closed.resolve(this.#failure === undefined ? {} : { error: this.#failure });
  }
}
