import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { libc } from "./libc.ts";
import { inNetns } from "./namespaces/in-namespaces.ts";
import { check } from "./system-call-error.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;

/**
 * Opens a TCP connection from inside the network namespace at `netns`: a socket keeps the namespace that it was made in, so only its
 * making needs to be there. Resolves once connected; rejects with Node's own error (ECONNREFUSED and the like).
 */
export function connectInNetns(
  netns: string | undefined,
  to: { readonly host: string; readonly port: number; readonly signal?: AbortSignal },
): Promise<Socket> {
  const family = to.host.includes(":") ? AF_INET6 : AF_INET;
  const fd = inNetns(netns, () =>
    check(
      "socket",
      `in ${netns ?? "this namespace"}`,
      libc.socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
    ),
  );
  let socket: Socket;
  try {
    // manualStart: reading starts when the connection is there; net.Socket takes it, its types leave it out.
    const options = {
      fd,
      manualStart: true,
      allowHalfOpen: true,
      ...(to.signal !== undefined && { signal: to.signal }),
    };
    socket = new Socket(options);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.connect({ host: to.host, port: to.port }, () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}
