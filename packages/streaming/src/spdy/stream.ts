import { Duplex } from "node:stream";
import { TripodError } from "@tripod/base";
import type { SpdyHeaders } from "./header-block.ts";
import { maxDataFrameBytes, resetStatus } from "./frame.ts";

/** How many bytes of one stream wait here unread before its sender must stop. */
export const streamWindowBytes = 1024 * 1024;
/** When `write()` asks its caller to wait. */
const highWaterMark = 256 * 1024;

/** What a stream needs of its session. */
export interface StreamLink {
  /** How many bytes of this stream's `wanted` the peer's windows have room for; that much counts as sent. */
  takeWindow(stream: SpdyStream, wanted: number): number;
  sendData(streamId: number, data: Buffer, fin: boolean, sent?: (error?: Error | null) => void): void;
  sendReply(streamId: number, headers: Iterable<readonly [string, string]>, fin: boolean): void;
  sendReset(streamId: number, status: number): void;
  sendWindowUpdate(streamId: number, bytes: number): void;
  /** Some of what came was read. */
  consumed(): void;
  /** The stream is over; its id is forgotten. */
  forget(stream: SpdyStream): void;
}

/**
 * One stream of a SPDY session. Both directions end on their own; `destroy()` resets it. A failure is also in the 'error' event, but an
 * unheard one does not end the process: whoever uses a stream sees it through `pipeline` or `finished`.
 */
export class SpdyStream extends Duplex {
  readonly streamId: number;
  /** The headers with which the stream was opened. */
  readonly headers: SpdyHeaders;
  /** Resolves when the peer has accepted a stream that this side opened; at once for the peer's own. */
  readonly accepted: Promise<void>;
  /** What the peer's window has room for; below zero when it was made smaller. The session's to change. */
  sendWindow: number;
  readonly #link: StreamLink;
  readonly #accepted = Promise.withResolvers<void>();
  #pending: { data: Buffer; done: (error?: Error | null) => void } | undefined;
  #received = 0;
  #returned = 0;
  #remoteEnded = false;
  #localEnded = false;
  #wasReset = false;
  #discarding = false;
  #endGate: Promise<void> | undefined;
  /** Why the peer broke the stream off, while what came before waits to be read. */
  #brokenOff: TripodError | undefined;

  constructor(
    link: StreamLink,
    streamId: number,
    headers: SpdyHeaders,
    options: { sendWindow: number; opened: boolean },
  ) {
    super({ highWaterMark, allowHalfOpen: true });
    this.#link = link;
    this.streamId = streamId;
    this.headers = headers;
    this.sendWindow = options.sendWindow;
    this.accepted = this.#accepted.promise;
    this.accepted.catch(() => {}); // nobody has to wait for it; the failure is the stream's own too
    if (!options.opened) this.#accepted.resolve();
    this.on("error", () => {});
    this.once("end", () => this.#endReset());
  }

  /** Accepts a stream that the peer opened. */
  reply(headers: Iterable<readonly [string, string]> = []): void {
    if (!this.destroyed) this.#link.sendReply(this.streamId, headers, false);
  }

  /** Refuses a stream that the peer opened. */
  refuse(): void {
    this.#wasReset = true;
    this.#link.sendReset(this.streamId, resetStatus.refusedStream);
    this.destroy();
  }

  /** Reads and drops everything that still comes, so that a peer which is writing does not hang. */
  discard(): void {
    this.#discarding = true;
    this.resume();
  }

  /** Bytes that came and were not read yet. */
  get unreadBytes(): number {
    return this.destroyed ? 0 : this.readableLength;
  }

  /** Takes bytes off the wire. False when the peer has ended this direction already, or overran the window. */
  receive(data: Buffer, limitBytes: number): boolean {
    if (this.#remoteEnded) return false;
    this.#received += data.length;
    if (this.#received - this.#returned > limitBytes) return false;
    if (this.#discarding && !this.readableFlowing) this.resume();
    this.push(data);
    this.#returnWindow(streamWindowBytes / 2);
    return true;
  }

  /** The peer sends no more. */
  receiveFin(): void {
    if (this.#remoteEnded) return;
    this.#remoteEnded = true;
    if (this.#endGate === undefined) this.push(null);
    else void this.#endGate.then(() => this.push(null));
  }

  /** Keeps the end of the incoming data back until `gate` resolves: what it waits for decides whether it is an end or a failure. */
  holdEnd(gate: Promise<void>): void {
    this.#endGate = gate;
  }

  /** The peer answered an opened stream. */
  receiveReply(): void {
    this.#accepted.resolve();
  }

  /** The peer reset the stream, or the session failed. */
  fail(error: TripodError): void {
    this.#wasReset = true;
    this.destroy(error);
  }

  /**
   * The peer reset the stream, as servers do that are done with all streams at once. What came before can still be read; the reset is an
   * error after that, unless the peer had ended its side. What is written meanwhile is dropped.
   */
  peerReset(error: TripodError): void {
    if (this.destroyed) return;
    this.#wasReset = true;
    this.#brokenOff = error;
    this.#accepted.reject(error);
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.done();
    this.#endReset();
  }

  #endReset(): void {
    if (this.#brokenOff === undefined || this.destroyed) return;
    if (this.readableEnded) this.destroy();
    else if (!this.#remoteEnded && this.readableLength === 0) this.destroy(this.#brokenOff);
  }

  /** The connection is gone. A stream whose data came whole can still be read. */
  connectionLost(error: TripodError): void {
    if (!this.#remoteEnded || this.#pending !== undefined) this.fail(error);
  }

  /** Whether the peer broke this stream off. */
  get resetByPeer(): boolean {
    return this.#wasReset;
  }

  /** The peer's window grew: goes on with a write that waits for it. */
  pump(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    while (pending.data.length > 0) {
      const size = this.#link.takeWindow(this, Math.min(pending.data.length, maxDataFrameBytes));
      if (size <= 0) return;
      const piece = pending.data.subarray(0, size);
      pending.data = pending.data.subarray(size);
      const last = pending.data.length === 0;
      if (last) this.#pending = undefined;
      this.#link.sendData(this.streamId, piece, false, last ? pending.done : undefined);
    }
  }

  override _write(data: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (data.length === 0 || this.#brokenOff !== undefined) {
      done();
      return;
    }
    this.#pending = { data, done };
    this.pump();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#localEnded = true;
    if (this.#brokenOff !== undefined) {
      done();
      return;
    }
    this.#link.sendData(this.streamId, Buffer.alloc(0), true, done);
  }

  /** Data is pushed as it comes. */
  override _read(): void {}

  /** Every way of reading comes through here, but for data that a flowing stream passes on as it is pushed. */
  override read(size?: number): unknown {
    // A Readable of bytes; what it returns is passed on as it is.
    const chunk: unknown = super.read(size);
    if (chunk !== null) {
      this.#returnWindow(streamWindowBytes / 2);
      this.#link.consumed();
      if (this.#brokenOff !== undefined) process.nextTick(() => this.#endReset());
    }
    return chunk;
  }

  /** Gives window back for what was read, once that is `atLeast` bytes. */
  #returnWindow(atLeast: number): void {
    const bytes = this.#received - this.#returned - (this.destroyed ? 0 : this.readableLength);
    if (bytes < atLeast || bytes === 0) return;
    this.#returned += bytes;
    if (!this.#remoteEnded && !this.destroyed) this.#link.sendWindowUpdate(this.streamId, bytes);
    this.#link.sendWindowUpdate(0, bytes);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const over = this.#remoteEnded && this.#localEnded;
    if (!over && !this.#wasReset) this.#link.sendReset(this.streamId, resetStatus.cancel);
    const gone = error ?? new TripodError("cancelled", `spdy: stream ${this.streamId} was closed`);
    this.#accepted.reject(gone);
    this.#returnWindow(1);
    this.#link.forget(this);
    this.#pending?.done(gone);
    this.#pending = undefined;
    done(error);
  }
}
