import { closeSync, constants, openSync } from "node:fs";
import { isNodeError, type Logger, messageOf, TripodError } from "@tripod/base";
import { mount } from "../mounts/mount.ts";
import { MS } from "../mounts/mount-flags.ts";
import { unmount } from "../mounts/unmount.ts";
import { answerRequest } from "./answer-request.ts";
import { FuseChannel } from "./fuse-channel.ts";
import { FuseError, type FuseFileSystem } from "./fuse-file-system.ts";
import { type FuseRequest, parseFuseRequest } from "./fuse-request.ts";

const device = "/dev/fuse";
/** More than any request to a file system that never changes; the kernel refuses those that do not fit. */
const requestBytes = 64 * 1024;

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
  readonly #log: Logger;
  readonly #channel: FuseChannel;
  /** Reads that wait, by their requests' numbers. */
  readonly #reads = new Map<bigint, AbortController>();

  constructor(files: FuseFileSystem, fd: number, { target, log }: { readonly target: string; readonly log: Logger }) {
    this.target = target;
    this.#files = files;
    this.#log = log;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#channel = new FuseChannel(fd, {
      target,
      requestBytes,
      log,
      handle: (bytes) => this.#handle(parseFuseRequest(bytes)),
      end: () => {
        for (const read of this.#reads.values()) read.abort();
        resolve();
      },
    });
  }

  unmount(): boolean {
    return unmount(this.target, { detach: true, noFollow: true });
  }

  [Symbol.dispose](): void {
    if (this.#channel.open) this.unmount();
    this.#channel[Symbol.dispose]();
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
      this.#channel.reply(request.unique, answerRequest(this.#files, request));
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
      this.#channel.reply(unique, bytes.byteLength > length ? bytes.subarray(0, length) : bytes);
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
    this.#channel.refuse(unique, errno);
  }
}
