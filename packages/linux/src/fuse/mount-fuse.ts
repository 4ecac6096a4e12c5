import { closeSync, constants, openSync, writevSync } from "node:fs";
import { constants as osConstants } from "node:os";
import { isNodeError, type Logger, messageOf, TripodError } from "@tripod/base";
import koffi from "koffi";
import { libc } from "../libc.ts";
import { mount } from "../mounts/mount.ts";
import { MS } from "../mounts/mount-flags.ts";
import { unmount } from "../mounts/unmount.ts";
import { errnoName, SystemCallError } from "../system-call-error.ts";
import { whenReadable } from "../when-readable.ts";
import { answerRequest } from "./answer-request.ts";
import { FuseError, type FuseFileSystem } from "./fuse-file-system.ts";
import { IN_HEADER_BYTES } from "./fuse-numbers.ts";
import { replyHeader } from "./fuse-reply.ts";
import { type FuseRequest, parseFuseRequest } from "./fuse-request.ts";

const device = "/dev/fuse";
/** More than any request to a file system that never changes; the kernel refuses those that do not fit. */
const requestBytes = 64 * 1024;
/** Requests that are answered before others in this process have a turn. */
const requestsPerTurn = 64;

export interface FuseMountOptions {
  /** A folder that is there. */
  readonly target: string;
  /** What mountinfo calls it. */
  readonly source: string;
  readonly log: Logger;
}

/**
 * A mounted file system that this process serves. The process itself must never touch it: a thread that waits for an answer keeps the
 * descriptor open from which nobody reads any more when the process is killed, and neither ends.
 */
export interface FuseMount extends Disposable {
  readonly target: string;
  /** Settles when the kernel has no use for it any more: it is mounted nowhere, and no overlay is made of it. */
  readonly ended: Promise<void>;
  /** Takes the mount away. Who uses it, overlays that were made of it too, goes on being served; false when it was gone. */
  unmount(): boolean;
  /** Takes the mount away and ends serving: who uses it gets ENOTCONN from now on. */
  [Symbol.dispose](): void;
}

/** Why this machine cannot mount file systems of a process; undefined when it can. */
export function fuseProblem(): string | undefined {
  try {
    closeSync(openSync(device, constants.O_RDWR));
    return undefined;
  } catch (error) {
    return isNodeError(error, "ENOENT", "ENODEV", "ENXIO")
      ? `this kernel has no ${device}; modprobe fuse`
      : `${device} cannot be opened: ${messageOf(error)}`;
  }
}

/** Mounts `files` read-only (nosuid, nodev, for all users, modes checked by the kernel) and serves it from this thread's event loop. */
export function mountFuse(files: FuseFileSystem, { target, source, log }: FuseMountOptions): FuseMount {
  const problem = fuseProblem();
  if (problem !== undefined) throw new TripodError("failed-precondition", `mount ${target}: ${problem}`);
  const fd = openSync(device, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    mount({
      source,
      target,
      type: "fuse.tripod",
      flags: MS.RDONLY | MS.NOSUID | MS.NODEV,
      data: `fd=${fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions`,
    });
    return new FuseServer(files, fd, { target, log });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

class FuseServer implements FuseMount {
  readonly target: string;
  readonly ended: Promise<void>;
  readonly #files: FuseFileSystem;
  readonly #fd: number;
  readonly #log: Logger;
  readonly #buffer = Buffer.alloc(requestBytes);
  /** Reads that wait, by their requests' numbers. */
  readonly #reads = new Map<bigint, AbortController>();
  readonly #watch: Disposable;
  readonly #resolveEnded: () => void;
  #open = true;

  constructor(files: FuseFileSystem, fd: number, { target, log }: { readonly target: string; readonly log: Logger }) {
    this.target = target;
    this.#files = files;
    this.#fd = fd;
    this.#log = log;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#resolveEnded = resolve;
    this.#watch = whenReadable(fd, () => this.#take());
  }

  unmount(): boolean {
    return unmount(this.target, { detach: true, noFollow: true });
  }

  [Symbol.dispose](): void {
    if (this.#open) this.unmount();
    this.#end();
  }

  #end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watch[Symbol.dispose]();
    closeSync(this.#fd); // the kernel fails whatever still waits
    for (const read of this.#reads.values()) read.abort();
    this.#resolveEnded();
  }

  /** Takes the requests that are there. */
  #take(): void {
    for (let count = 0; count < requestsPerTurn && this.#open; count += 1) {
      const length = libc.read(this.#fd, this.#buffer, requestBytes);
      if (length < 0) {
        const errno = errnoName(koffi.errno());
        if (errno === "EAGAIN") return;
        if (errno === "ENOENT" || errno === "EINTR") continue; // who asked is gone
        // ENODEV: the last mount is gone.
        if (errno !== "ENODEV") {
          const error = new SystemCallError("read", device, errno);
          this.#log.error({ target: this.target, error: error.message }, "a file system is not served any more");
        }
        this.#end();
        return;
      }
      const bytes = this.#buffer.subarray(0, length);
      try {
        this.#handle(parseFuseRequest(bytes));
      } catch (error) {
        // Not to be understood; everything else is served on.
        this.#log.error({ target: this.target, error: messageOf(error) }, "a request of the kernel is refused");
        if (length >= IN_HEADER_BYTES)
          this.#send([replyHeader(bytes.readBigUInt64LE(8), { errno: osConstants.errno.EIO })]);
      }
    }
  }

  #handle(request: FuseRequest): void {
    if (request.kind === "read") {
      void this.#read(request);
      return;
    }
    if (request.kind === "interrupt") {
      this.#reads.get(request.interrupted)?.abort(new FuseError("EINTR"));
      return;
    }
    if (request.kind === "forget") return;
    try {
      this.#reply(request.unique, answerRequest(this.#files, request));
    } catch (error) {
      this.#refuse(request, error);
    }
  }

  /** Never rejects. */
  async #read(request: FuseRequest & { readonly kind: "read" }): Promise<void> {
    const { unique, ino, offset, length } = request;
    const abort = new AbortController();
    this.#reads.set(unique, abort);
    try {
      const bytes = await this.#files.read(ino, { offset, length }, abort.signal);
      this.#reply(unique, bytes.byteLength > length ? bytes.subarray(0, length) : bytes);
    } catch (error) {
      this.#refuse(request, abort.signal.aborted ? new FuseError("EINTR") : error);
    } finally {
      this.#reads.delete(unique);
    }
  }

  #refuse({ unique, kind, ino }: FuseRequest, error: unknown): void {
    const errno = error instanceof FuseError ? error.errno : "EIO";
    if (errno === "EIO")
      this.#log.warn({ target: this.target, kind, ino, error: messageOf(error) }, "a file system refuses a request");
    this.#send([replyHeader(unique, { errno: osConstants.errno[errno] })]);
  }

  #reply(unique: bigint, body: Uint8Array): void {
    const header = replyHeader(unique, { length: body.byteLength });
    this.#send(body.byteLength === 0 ? [header] : [header, body]);
  }

  /** One answer is one write. */
  #send(parts: readonly Uint8Array[]): void {
    if (!this.#open) return;
    try {
      writevSync(this.#fd, parts);
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return; // nobody waits for it any more
      if (isNodeError(error, "ENODEV", "ECONNABORTED")) return; // #take() is told
      this.#log.error({ target: this.target, error: messageOf(error) }, "an answer is not taken by the kernel");
    }
  }
}
