import { closeSync, constants, openSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { mknod } from "@tripod/linux";

/** A fifo with this process at one end: for a program that wants a real pipe (Node's own are sockets), or a path to open. */
export class StdioFifo implements Disposable {
  readonly path: string;
  /** Our end. */
  readonly stream: Socket;
  readonly #reading: boolean;
  /** Both ends at once, so that no opening waits and no end comes before the other side is there. */
  #held: number | undefined;

  /** Makes the fifo at `path`; "read" is for a program's output. */
  constructor(path: string, direction: "read" | "write") {
    mknod(path, { kind: "fifo", mode: 0o600 });
    this.path = path;
    this.#reading = direction === "read";
    this.#held = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    const ours = this.#reading ? constants.O_RDONLY : constants.O_WRONLY;
    const fd = openSync(path, ours | constants.O_NONBLOCK);
    this.stream = new Socket({ fd, readable: this.#reading, writable: !this.#reading });
  }

  /** A descriptor of the other end, for a child to inherit; the caller closes it. */
  openOther(): number {
    return openSync(this.path, this.#reading ? constants.O_WRONLY : constants.O_RDONLY);
  }

  /** To be called once the other side has opened the fifo: from then on its end is ours. */
  handedOver(): void {
    if (this.#held === undefined) return;
    closeSync(this.#held);
    this.#held = undefined;
    rmSync(this.path, { force: true });
  }

  [Symbol.dispose](): void {
    this.handedOver();
    this.stream.destroy();
  }
}
