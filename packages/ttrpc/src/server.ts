import { chmodSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { TripodError } from "@tripod/base";
import { socketIsLive } from "@tripod/grpc";
import { TtrpcConnection, type TtrpcConnectionOptions } from "./connection.ts";

export interface ServeTtrpcOptions extends TtrpcConnectionOptions {
  /** Absolute path of the unix socket. One left by a dead process is replaced; a live one is an "already-exists" error. */
  readonly socket: string;
  /** Permission bits of the socket; 0o660 unless told. */
  readonly mode?: number;
  /** Connections at once; more are closed at once. 256 unless told. */
  readonly maxConnections?: number;
}

/** A running server; disposing it lets calls end for a moment, then closes and removes the socket. */
export interface TtrpcServer extends AsyncDisposable {
  readonly socket: string;
}

/** Serves generated services on a unix socket. */
export async function serveTtrpc(options: ServeTtrpcOptions): Promise<TtrpcServer> {
  const { socket, mode = 0o660, maxConnections = 256 } = options;
  if (await socketIsLive(socket)) {
    throw new TripodError("already-exists", `listen on ${socket}: another process is serving it; stop that one`);
  }
  rmSync(socket, { force: true });
  const connections = new Set<TtrpcConnection>();
  const server = createServer((stream) => {
    const connection = new TtrpcConnection(stream, options);
    connections.add(connection);
    void connection.closed.then(() => connections.delete(connection));
  });
  server.maxConnections = maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      reject(new TripodError("unavailable", `listen on ${socket}: ${cause.message}`, { cause }));
    });
    server.listen(socket, resolve);
  });
  chmodSync(socket, mode);
  return {
    socket,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await Promise.all([...connections].map((connection) => connection[Symbol.asyncDispose]()));
      await closed;
      rmSync(socket, { force: true });
    },
  };
}
