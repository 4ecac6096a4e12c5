import type { Duplex, Readable, Writable } from "node:stream";

/** The size of a terminal in character cells. */
export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

/** Run a command in a container; the field names are CRI's, so that a CRI ExecRequest can be passed as it is. */
export interface ExecRequest {
  readonly containerId: string;
  readonly cmd: readonly string[];
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/** Attach to a container's own process; a CRI AttachRequest can be passed as it is. */
export interface AttachRequest {
  readonly containerId: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/** Forward connections to ports of a sandbox; a CRI PortForwardRequest can be passed as it is. */
export interface PortForwardRequest {
  readonly podSandboxId: string;
  /** Only the channel subprotocols of WebSocket need them beforehand; SPDY names the port with each connection. */
  readonly port: readonly number[];
}

/**
 * What a session's remote side reads and writes. A stream is absent when the request did not ask for it, and stderr is absent with a
 * terminal. Writes wait for the peer (respect `write()`'s answer or use `pipeline`); a stream whose peer is gone is destroyed and
 * `signal` is aborted.
 */
export interface RemoteStreams {
  /** Ends when the peer closes its standard input. */
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  /** The terminal's sizes as they change; ends with the session. One reader. Older sizes that nobody read are dropped. */
  readonly resize: AsyncIterable<TerminalSize>;
  /** Aborted when the peer is gone or the session has been idle for too long. */
  readonly signal: AbortSignal;
}

/** How a command ended: 0 to 255, 128 + signal number when a signal ended it. */
export interface ExecResult {
  readonly exitCode: number;
}

/**
 * What a StreamingServer calls. A handler's streams are flushed and closed for it when it settles; after that the peer learns the result
 * (or the message of the error that was thrown).
 */
export interface StreamingHandlers {
  exec(request: ExecRequest, streams: RemoteStreams): Promise<ExecResult>;
  attach(request: AttachRequest, streams: RemoteStreams): Promise<void>;
  /** Joins one connection to `port` in the sandbox, until either side ends it. Called for each connection. */
  portForward(
    podSandboxId: string,
    port: number,
    connection: Duplex,
    context: { readonly signal: AbortSignal },
  ): Promise<void>;
}

/** Certificates of a TLS client, PEM. */
export interface ClientTls {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  /** The name to verify, where it is not the URL's host. */
  readonly servername?: string;
}
