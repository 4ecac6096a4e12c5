import { TripodError } from "@tripod/base";
import koffi from "koffi";

/** A path as text, or as the bytes that it is made of when it is not UTF-8. */
export type Path = string | Uint8Array;

/** The path as a C string. A NUL inside would cut it short silently, so it is refused. */
export function cString(value: Path): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  if (bytes.includes(0)) {
    throw new TripodError("invalid", `path ${JSON.stringify(Buffer.from(bytes).toString())}: contains a NUL byte`);
  }
  const terminated = Buffer.alloc(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}

/** What a `void *` parameter takes: memory, an integer in the pointer's place, or NULL. */
export type Pointer = Uint8Array | bigint | null;

// The symbols that this process has loaded already: the C library's, whatever its file is called.
const library = koffi.load(null);

const bind = <F>(name: string, parameters: readonly string[], result = "int"): F =>
  // koffi's functions are untyped; each signature stands beside its C parameters in the table below.
  library.func(name, result, [...parameters]) as unknown as F;

/**
 * The C functions that this package calls, each with C's own signature. Negative results leave errno set: pass them to check()
 * at once. Variadic ones are bound with the parameters that are used here; on x86-64 and arm64 Linux, for integers and pointers,
 * the calling convention is the same.
 */
export const libc = {
  abort: bind<() => void>("abort", [], "void"),
  exit: bind<(code: number) => void>("_exit", ["int"], "void"),
  close: bind<(fd: number) => number>("close", ["int"]),
  read: bind<(fd: number, buffer: Uint8Array, length: number) => number>("read", ["int", "void *", "size_t"], "int64"),
  unshare: bind<(flags: number) => number>("unshare", ["int"]),
  setns: bind<(fd: number, type: number) => number>("setns", ["int", "int"]),
  sethostname: bind<(name: Uint8Array, length: number) => number>("sethostname", ["void *", "size_t"]),
  mount: bind<(source: Pointer, target: Uint8Array, type: Pointer, flags: number, data: Pointer) => number>("mount", [
    "void *",
    "void *",
    "void *",
    "ulong",
    "void *",
  ]),
  umount2: bind<(target: Uint8Array, flags: number) => number>("umount2", ["void *", "int"]),
  statx: bind<(dirfd: number, path: Uint8Array, flags: number, mask: number, buffer: Uint8Array) => number>("statx", [
    "int",
    "void *",
    "int",
    "uint",
    "void *",
  ]),
  socket: bind<(domain: number, type: number, protocol: number) => number>("socket", ["int", "int", "int"]),
  bind: bind<(fd: number, address: Uint8Array, length: number) => number>("bind", ["int", "void *", "uint"]),
  setsockopt: bind<(fd: number, level: number, option: number, value: Uint8Array, length: number) => number>(
    "setsockopt",
    ["int", "int", "int", "void *", "uint"],
  ),
  send: bind<(fd: number, data: Uint8Array, length: number, flags: number) => number>(
    "send",
    ["int", "void *", "size_t", "int"],
    "int64",
  ),
  recv: bind<(fd: number, buffer: Uint8Array, length: number, flags: number) => number>(
    "recv",
    ["int", "void *", "size_t", "int"],
    "int64",
  ),
  ioctl: bind<(fd: number, request: number, argument: Pointer) => number>("ioctl", ["int", "ulong", "void *"]),
  prctl: bind<(option: number, a: number, b: number, c: number, d: number) => number>("prctl", [
    "int",
    "ulong",
    "ulong",
    "ulong",
    "ulong",
  ]),
  waitpid: bind<(pid: number, status: Uint8Array, options: number) => number>("waitpid", ["int", "void *", "int"]),
  /** Returns the error's number itself, and leaves errno alone. */
  pthreadSigmask: bind<(how: number, set: Uint8Array, before: Pointer) => number>("pthread_sigmask", [
    "int",
    "void *",
    "void *",
  ]),
  pipe2: bind<(ends: Uint8Array, flags: number) => number>("pipe2", ["void *", "int"]),
  // The posix_spawn family returns the error's number itself.
  spawn: bind<
    (
      pid: Uint8Array,
      path: Uint8Array,
      actions: Uint8Array,
      attributes: Uint8Array,
      words: readonly (string | null)[],
      environment: readonly (string | null)[],
    ) => number
  >("posix_spawn", ["void *", "void *", "void *", "void *", "str *", "str *"]),
  spawnActionsInit: bind<(actions: Uint8Array) => number>("posix_spawn_file_actions_init", ["void *"]),
  spawnActionsDestroy: bind<(actions: Uint8Array) => number>("posix_spawn_file_actions_destroy", ["void *"]),
  spawnActionsDup: bind<(actions: Uint8Array, from: number, to: number) => number>("posix_spawn_file_actions_adddup2", [
    "void *",
    "int",
    "int",
  ]),
  spawnActionsChdir: bind<(actions: Uint8Array, path: Uint8Array) => number>("posix_spawn_file_actions_addchdir_np", [
    "void *",
    "void *",
  ]),
  spawnAttributesInit: bind<(attributes: Uint8Array) => number>("posix_spawnattr_init", ["void *"]),
  spawnAttributesDestroy: bind<(attributes: Uint8Array) => number>("posix_spawnattr_destroy", ["void *"]),
  spawnAttributesFlags: bind<(attributes: Uint8Array, flags: number) => number>("posix_spawnattr_setflags", [
    "void *",
    "short",
  ]),
  spawnAttributesMask: bind<(attributes: Uint8Array, set: Uint8Array) => number>("posix_spawnattr_setsigmask", [
    "void *",
    "void *",
  ]),
  spawnAttributesDefaults: bind<(attributes: Uint8Array, set: Uint8Array) => number>("posix_spawnattr_setsigdefault", [
    "void *",
    "void *",
  ]),
  syncfs: bind<(fd: number) => number>("syncfs", ["int"]),
  flock: bind<(fd: number, operation: number) => number>("flock", ["int", "int"]),
  fallocate: bind<(fd: number, mode: number, offset: number, length: number) => number>("fallocate", [
    "int",
    "int",
    "int64",
    "int64",
  ]),
  lseek: bind<(fd: number, offset: number, whence: number) => number>("lseek", ["int", "int64", "int"], "int64"),
  mknod: bind<(path: Uint8Array, mode: number, device: bigint) => number>("mknod", ["void *", "uint", "uint64"]),
  utimensat: bind<(dirfd: number, path: Uint8Array, times: Uint8Array, flags: number) => number>("utimensat", [
    "int",
    "void *",
    "void *",
    "int",
  ]),
  lgetxattr: bind<(path: Uint8Array, name: Uint8Array, value: Pointer, size: number) => number>(
    "lgetxattr",
    ["void *", "void *", "void *", "size_t"],
    "int64",
  ),
  lsetxattr: bind<(path: Uint8Array, name: Uint8Array, value: Uint8Array, size: number, flags: number) => number>(
    "lsetxattr",
    ["void *", "void *", "void *", "size_t", "int"],
  ),
  llistxattr: bind<(path: Uint8Array, list: Pointer, size: number) => number>(
    "llistxattr",
    ["void *", "void *", "size_t"],
    "int64",
  ),
  lremovexattr: bind<(path: Uint8Array, name: Uint8Array) => number>("lremovexattr", ["void *", "void *"]),
  /** For calls without a wrapper in every C library of the last years. */
  syscall: bind<(number: number, a: number, b: Pointer, c: Pointer, d: Pointer, e: Pointer) => number>(
    "syscall",
    ["long", "long", "void *", "void *", "void *", "void *"],
    "long",
  ),
} as const;

/** System call numbers of the range that all architectures share (from Linux 5.1 on). */
export const SYS = {
  pidfd_send_signal: 424,
  open_tree: 428,
  move_mount: 429,
  pidfd_open: 434,
  openat2: 437,
  mount_setattr: 442,
  quotactl_fd: 443,
} as const;

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_EMPTY_PATH = 0x1000;
export const AT_RECURSIVE = 0x8000;
