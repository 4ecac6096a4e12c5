import { closeSync, writevSync } from "node:fs";
import { constants as osConstants } from "node:os";
import { isNodeError, type Logger, messageOf } from "@tripod/base";
import koffi from "koffi";
import { libc } from "../libc.ts";
import { errnoName, SystemCallError } from "../system-call-error.ts";
import { whenReadable } from "../when-readable.ts";
import type { FuseError } from "./fuse-file-system.ts";
import { IN_HEADER_BYTES } from "./fuse-numbers.ts";
import { replyHeader } from "./fuse-reply.ts";

/** Requests that are answered before others in this process have a turn. */
const requestsPerTurn = 64;

export interface FuseChannelOptions {
  /** Where it is mounted, for the log. */
  readonly target: string;
  /** More than any request. */
  readonly requestBytes: number;
  readonly log: Logger;
  /** Called with each request, in a buffer that is used again; when it throws, the request is refused with EIO. */
  readonly handle: (request: Buffer) => void;
  /** The kernel has no use for the file system any more. */
  readonly end: () => void;
}

/** The descriptor through which the kernel asks a file system of this process, and is answered. Owns it. */
export class FuseChannel implements Disposable {
  readonly #fd: number;
  readonly #options: FuseChannelOptions;
  readonly #buffer: Buffer;
  readonly #watch: Disposable;
  #open = true;

  constructor(fd: number, options: FuseChannelOptions) {
    this.#fd = fd;
    this.#options = options;
    this.#buffer = Buffer.alloc(options.requestBytes);
    this.#watch = whenReadable(fd, () => this.#take());
  }

  get open(): boolean {
    return this.#open;
  }

  reply(unique: bigint, body: Uint8Array): void {
    const header = replyHeader(unique, { length: body.byteLength });
    this.#send(body.byteLength === 0 ? [header] : [header, body]);
  }

  refuse(unique: bigint, errno: FuseError["errno"]): void {
    this.#send([replyHeader(unique, { errno: osConstants.errno[errno] })]);
  }

  /** The kernel fails whatever still waits. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watch[Symbol.dispose]();
    closeSync(this.#fd);
    this.#options.end();
  }

  /** Takes the requests that are there. */
  #take(): void {
    const { target, log, requestBytes, handle } = this.#options;
    for (let count = 0; count < requestsPerTurn && this.#open; count += 1) {
      const length = libc.read(this.#fd, this.#buffer, requestBytes);
      if (length < 0) {
        const errno = errnoName(koffi.errno());
        if (errno === "EAGAIN") return;
        if (errno === "ENOENT" || errno === "EINTR") continue; // who asked is gone
        // ENODEV: the last mount is gone.
        if (errno !== "ENODEV") {
          const error = new SystemCallError("read", "/dev/fuse", errno);
          log.error({ target, error: error.message }, "a file system is not served any more");
        }
        this[Symbol.dispose]();
        return;
      }
      const bytes = this.#buffer.subarray(0, length);
      try {
        handle(bytes);
      } catch (error) {
        // Not to be understood; everything else is served on.
        log.error({ target, error: messageOf(error) }, "a request of the kernel is refused");
        if (length >= IN_HEADER_BYTES) this.refuse(bytes.readBigUInt64LE(8), "EIO");
      }
    }
  }

  /** One answer is one write. */
  #send(parts: readonly Uint8Array[]): void {
    if (!this.#open) return;
    try {
      writevSync(this.#fd, parts);
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return; // nobody waits for it any more
      if (isNodeError(error, "ENODEV", "ECONNABORTED")) return; // #take() is told
      this.#options.log.error(
        { target: this.#options.target, error: messageOf(error) },
        "an answer is not taken by the kernel",
      );
    }
  }
}
