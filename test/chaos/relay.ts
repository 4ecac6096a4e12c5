import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { TripodError } from "@tripod/base";
import type { TestNetwork } from "../e2e/network.ts";

/** A port on this process's loopback whose connections come out on a port of a test network's loopback. */
export interface Relay extends AsyncDisposable {
  readonly port: number;
}

/** Opens the relay; each connection is carried by a netcat that runs inside the network. */
export async function startRelay(network: TestNetwork, target: number): Promise<Relay> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    const carrier = network.spawn("busybox", ["nc", "127.0.0.1", String(target)], {
      stdio: ["pipe", "pipe", "ignore"],
    });
    open.add(socket);
    socket.once("close", () => {
      open.delete(socket);
      carrier.kill("SIGKILL");
    });
    carrier.once("error", (error) => socket.destroy(error));
    // A client sees the node's end as a broken connection, and the pipe's EPIPE as nothing more than that.
    carrier.once("exit", () => socket.destroy());
    socket.on("error", () => socket.destroy());
    carrier.stdin?.on("error", () => socket.destroy());
    if (carrier.stdin !== null) socket.pipe(carrier.stdin);
    carrier.stdout?.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new TripodError("internal", "relay: it has no port");
  return {
    port: address.port,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
