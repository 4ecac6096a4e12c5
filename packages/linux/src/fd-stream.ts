import { Socket, type SocketConstructorOpts } from "node:net";
import { TripodError } from "@tripod/base";

/** The handle class behind pipes and unix sockets; it takes any descriptor that epoll can watch. */
interface PipeHandle {
  open(fd: number): number | undefined;
}

interface PipeBinding {
  readonly Pipe: new (type: number) => PipeHandle;
  readonly constants: { readonly SOCKET: number };
}

function pipeBinding(): PipeBinding {
  // Node's own net.Socket({ fd }) guesses the kind of descriptor and refuses seqpacket sockets and terminals; this is the handle that
  // it would use for a unix socket. There is no public way to it.
  const load: unknown = Reflect.get(process, "binding");
  if (typeof load !== "function") {
    throw new TripodError("unimplemented", "wrap a descriptor: this Node has no process.binding; use the pinned Node");
  }
  return Reflect.apply(load, process, ["pipe_wrap"]) as PipeBinding; // an untyped internal module, as described above
}

/**
 * A duplex stream over a descriptor of any kind that can be polled: a seqpacket socket (every write is one packet, every "data" event is
 * one packet), a terminal's master. The stream owns the descriptor from here on, also when this throws.
 */
export function streamOfFd(fd: number): Socket {
  const { Pipe, constants } = pipeBinding();
  const handle = new Pipe(constants.SOCKET);
  handle.open(fd);
  // `handle` may be any stream handle; its types know of one kind alone.
  return new Socket({ handle, allowHalfOpen: true } as unknown as SocketConstructorOpts);
}
