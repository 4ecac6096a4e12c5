import { closeSync, openSync } from "node:fs";
import { TripodError } from "@tripod/base";
import koffi from "koffi";
import { cString, libc } from "../libc.ts";
import { offThread } from "../off-thread.ts";
import { errnoName, SystemCallError } from "../system-call-error.ts";

export interface SpawnOptions {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** The child's descriptors from 0 on, each a descriptor of this process, which keeps its own; "null" is /dev/null. */
  readonly stdio: readonly (number | "null")[];
}

/** posix_spawnattr_setflags(3)'s bits. */
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;

/** As large as any C library's posix_spawnattr_t, posix_spawn_file_actions_t and sigset_t. */
const structBytes = 512;

function checked(what: string, program: string, error: number): void {
  if (error !== 0) throw new SystemCallError(what, program, errnoName(error));
}

/**
 * Starts a program, absolute, as the leader of a session of its own; resolves with its pid once it executes. child_process.spawn()
 * copies the page tables of this whole process first, during which nothing else happens here; posix_spawn(3) borrows the memory until
 * the child executes, and a thread of the pool waits for that. Node knows nothing of the child: reap() it when waitForExit() says so.
 * A program that cannot be executed is the system call's error.
 */
export async function spawnProcess(program: string, args: readonly string[], options: SpawnOptions): Promise<number> {
  using stack = new DisposableStack();
  const actions = Buffer.alloc(structBytes);
  const attributes = Buffer.alloc(structBytes);
  checked("posix_spawn_file_actions_init", program, libc.spawnActionsInit(actions));
  stack.defer(() => libc.spawnActionsDestroy(actions));
  checked("posix_spawnattr_init", program, libc.spawnAttributesInit(attributes));
  stack.defer(() => libc.spawnAttributesDestroy(attributes));

  const nothing = openSync("/dev/null", "r+");
  stack.defer(() => closeSync(nothing));
  const wanted = options.stdio.map((fd) => (fd === "null" ? nothing : fd));
  // A descriptor below the child's own numbers could be overwritten before it is copied.
  if (wanted.some((fd) => fd < wanted.length))
    throw new TripodError("invalid", `spawn ${program}: descriptors ${wanted.join(", ")} are the child's own numbers`);
  wanted.forEach((fd, number) =>
    checked("posix_spawn_file_actions_adddup2", program, libc.spawnActionsDup(actions, fd, number)),
  );
  checked("posix_spawn_file_actions_addchdir_np", program, libc.spawnActionsChdir(actions, cString(options.cwd)));

  // Node ignores SIGPIPE, what started it may ignore others, and a thread may hold signals back: none is the child's affair.
  const every = Buffer.alloc(structBytes, 0xff);
  checked("posix_spawnattr_setsigdefault", program, libc.spawnAttributesDefaults(attributes, every));
  checked("posix_spawnattr_setsigmask", program, libc.spawnAttributesMask(attributes, Buffer.alloc(structBytes)));
  const flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID;
  checked("posix_spawnattr_setflags", program, libc.spawnAttributesFlags(attributes, flags));

  const pid = Buffer.alloc(4);
  const words = [program, ...args];
  const environment = Object.entries(options.env).map(([name, value]) => `${name}=${value}`);
  for (const text of [...words, ...environment]) cString(text); // refuses NUL bytes
  const path = cString(program);
  const error = await offThread(libc.spawn, pid, path, actions, attributes, [...words, null], [...environment, null]);
  checked("posix_spawn", program, error);
  return pid.readInt32LE(0);
}

/** A pipe whose ends no other program inherits: what is written to `write` can be read from `read`. Both belong to the caller. */
export function openPipe(): { readonly read: number; readonly write: number } {
  const O_CLOEXEC = 0o2000000;
  const ends = Buffer.alloc(8);
  if (libc.pipe2(ends, O_CLOEXEC) !== 0) throw new SystemCallError("pipe2", "", errnoName(koffi.errno()));
  return { read: ends.readInt32LE(0), write: ends.readInt32LE(4) };
}
