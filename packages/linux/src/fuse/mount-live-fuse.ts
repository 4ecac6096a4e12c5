import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { messageOf, TripodError } from "@tripod/base";
import { mount } from "../mounts/mount.ts";
import { unmount } from "../mounts/unmount.ts";
import { answerLiveRequest } from "./answer-live-request.ts";
import { FuseChannel } from "./fuse-channel.ts";
import { FuseError } from "./fuse-file-system.ts";
import { IN_HEADER_BYTES, OP } from "./fuse-numbers.ts";
import type { LiveFileSystem } from "./live-file-system.ts";
import { LIVE_DATA_BYTES } from "./live-reply.ts";
import { type FuseMount, type FuseMountOptions, fuseProblem } from "./mount-fuse.ts";

const requestBytes = LIVE_DATA_BYTES + 64 * 1024;
/** How often a caller is looked at that got a signal while it waits. */
const lookMs = 200;
/** SIGKILL, in the masks of /proc/PID/status. */
const killBit = 1n << 8n;

export interface LiveFuseMountOptions extends FuseMountOptions {
  /** "fuse." and this is its type in mountinfo. */
  readonly subtype: string;
  /** MS flags or'ed. */
  readonly flags: number;
}

/**
 * Mounts `files` for all users, whose rights `files` itself checks, and serves it from this thread's event loop. A caller waits as long as an
 * answer takes, whatever signals it gets, but is let go when it is killed.
 */
export function mountLiveFuse(files: LiveFileSystem, options: LiveFuseMountOptions): FuseMount {
  const { target, source, subtype, flags, log } = options;
  const problem = fuseProblem();
  if (problem !== undefined) throw new TripodError("failed-precondition", `mount ${target}: ${problem}`);
  const fd = openSync("/dev/fuse", constants.O_RDWR | constants.O_NONBLOCK);
  try {
    const data = `fd=${fd},rootmode=40000,user_id=0,group_id=0,allow_other`;
    mount({ source, target, type: `fuse.${subtype}`, flags, data });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  /** Of requests that were not answered yet, who waits. */
  const callers = new Map<bigint, number>();
  const watched = new Map<bigint, NodeJS.Timeout>();
  const done = (unique: bigint): boolean => {
    clearInterval(watched.get(unique));
    watched.delete(unique);
    return callers.delete(unique);
  };
  const answer = async (unique: bigint, request: Buffer): Promise<void> => {
    callers.set(unique, request.readUInt32LE(32));
    try {
      const body = await answerLiveRequest(files, request);
      if (done(unique)) channel.reply(unique, body);
    } catch (error) {
      const errno = error instanceof FuseError ? error.errno : "EIO";
      if (errno === "EIO") log.warn({ target, error: messageOf(error) }, "a file system refuses a request");
      if (done(unique)) channel.refuse(unique, errno);
    }
  };
  /** Programs get signals all the time; what they wait for is given up only for one that ends them. */
  const interrupt = (unique: bigint): void => {
    const pid = callers.get(unique);
    if (pid === undefined || watched.has(unique)) return;
    const look = (): void => {
      if (isBeingKilled(pid) && done(unique)) channel.refuse(unique, "EINTR");
    };
    watched.set(unique, setInterval(look, lookMs));
    look();
  };
  const channel: FuseChannel = new FuseChannel(fd, {
    target,
    requestBytes,
    log,
    handle(request) {
      const body = request.subarray(IN_HEADER_BYTES);
      switch (request.readUInt32LE(4)) {
        case OP.FORGET:
          return files.forget(Number(request.readBigUInt64LE(16)), Number(body.readBigUInt64LE(0)));
        case OP.BATCH_FORGET:
          for (let at = 8; at + 16 <= body.length; at += 16)
            files.forget(Number(body.readBigUInt64LE(at)), Number(body.readBigUInt64LE(at + 8)));
          return;
        case OP.INTERRUPT:
          return interrupt(body.readBigUInt64LE(0));
        default:
          void answer(request.readBigUInt64LE(8), Buffer.from(request));
      }
    },
    end() {
      for (const timer of watched.values()) clearInterval(timer);
      resolve();
    },
  });
  const take = (): boolean => unmount(target, { detach: true, noFollow: true });
  return {
    target,
    ended,
    unmount: take,
    [Symbol.dispose]() {
      if (channel.open) take();
      channel[Symbol.dispose]();
    },
  };
}

/** Whether SIGKILL is on its way to a thread; one that cannot be seen is taken for one that is ended. */
function isBeingKilled(pid: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    return [...status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$/gm)].some(
      ([, mask = "0"]) => (BigInt(`0x${mask}`) & killBit) !== 0n,
    );
  } catch {
    return true;
  }
}
