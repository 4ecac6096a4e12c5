import { closeSync, constants, openSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { Socket } from "node:net";
import koffi from "koffi";
import { streamOfFd } from "./fd-stream.ts";
import { libc } from "./libc.ts";
import { check } from "./system-call-error.ts";

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0o2000000;

// koffi's functions are untyped; the parameters are connect(2)'s.
const connect = koffi.load(null).func("connect", "int", ["int", "void *", "uint"]) as unknown as (
  fd: number,
  address: Uint8Array,
  length: number,
) => number;

/** struct sockaddr_un of a path; at most 107 bytes fit. */
function unixAddress(path: string): Buffer {
  const bytes = Buffer.from(path);
  const address = Buffer.alloc(2 + bytes.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(address, 2);
  return address;
}

/**
 * Connects to the unix socket of type SOCK_SEQPACKET at `path`, which Node's net cannot. One write is one packet, one "data" event is one
 * packet. The path may be of any length: it is reached through its folder's descriptor. "not-found" when there is no socket, and
 * ECONNREFUSED when nobody listens on it.
 */
export function connectSeqpacket(path: string): Socket {
  const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const fd = check("socket", path, libc.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    try {
      const address = unixAddress(`/proc/self/fd/${folder}/${basename(path)}`);
      check("connect", path, connect(fd, address, address.length));
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return streamOfFd(fd);
  } finally {
    closeSync(folder);
  }
}
