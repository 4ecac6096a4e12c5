import { type ErrorCode, TripodError } from "@tripod/base";
import koffi from "koffi";
import { cString } from "./libc.ts";
import { inNetns } from "./namespaces/in-namespaces.ts";
import { namespaceIdentity } from "./namespaces/namespace-identity.ts";
import { withSignalsBlocked } from "./processes/blocked-signals.ts";

export interface NftOptions {
  /** Path of the network namespace; the caller's unless told. */
  readonly netns?: string | undefined;
  /** Print, and accept, JSON (libnftables-json(5)). */
  readonly json?: boolean | undefined;
  /** Print rule handles. */
  readonly handles?: boolean | undefined;
  /** Print what was added, as `nft --echo` does. */
  readonly echo?: boolean | undefined;
  /** Leave out counters' values and other state. */
  readonly stateless?: boolean | undefined;
}

interface Libnftables {
  readonly create: (flags: number) => bigint | null;
  readonly free: (context: bigint) => void;
  readonly bufferOutput: (context: bigint) => number;
  readonly bufferError: (context: bigint) => number;
  readonly setFlags: (context: bigint, flags: number) => void;
  readonly run: (context: bigint, commands: Uint8Array) => number;
  readonly output: (context: bigint) => string;
  readonly error: (context: bigint) => string;
}

/** NFT_CTX_OUTPUT_* (nftables/libnftables.h). */
const OUTPUT = { STATELESS: 0x04, HANDLE: 0x08, JSON: 0x10, ECHO: 0x20, NUMERIC_PRIO: 0x100 } as const;

let loaded: Libnftables | undefined;
const ownNetns = namespaceIdentity("/proc/thread-self/ns/net");
/** Of the namespace that the process runs in. Others are not kept: a context holds a socket, which holds its namespace. */
let ownContext: bigint | undefined;

function library(): Libnftables {
  if (loaded !== undefined) return loaded;
  let handle: ReturnType<typeof koffi.load>;
  try {
    handle = koffi.load("libnftables.so.1");
  } catch (cause) {
    throw new TripodError(
      "failed-precondition",
      "nft: libnftables.so.1 is missing; install libnftables1 (or nftables)",
      {
        cause,
      },
    );
  }
  const bind = <F>(prototype: string): F =>
    // koffi's functions are untyped; the interface above says what each takes and returns.
    handle.func(prototype) as unknown as F;
  loaded = {
    create: bind("void *nft_ctx_new(uint32_t flags)"),
    free: bind("void nft_ctx_free(void *ctx)"),
    bufferOutput: bind("int nft_ctx_buffer_output(void *ctx)"),
    bufferError: bind("int nft_ctx_buffer_error(void *ctx)"),
    setFlags: bind("void nft_ctx_output_set_flags(void *ctx, unsigned int flags)"),
    run: bind("int nft_run_cmd_from_buffer(void *ctx, void *buf)"),
    output: bind("const char *nft_ctx_get_output_buffer(void *ctx)"),
    error: bind("const char *nft_ctx_get_error_buffer(void *ctx)"),
  };
  return loaded;
}

function createContext(nft: Libnftables): bigint {
  const context = nft.create(0);
  if (context === null) throw new TripodError("exhausted", "nft: no context could be made");
  if (nft.bufferOutput(context) !== 0 || nft.bufferError(context) !== 0) {
    nft.free(context);
    throw new TripodError("exhausted", "nft: no buffers could be made");
  }
  return context;
}

/** libnftables reports in words only; these are strerror()'s and its parser's. */
const reasons: readonly (readonly [RegExp, ErrorCode])[] = [
  [/No such file or directory|does not exist/, "not-found"],
  [/File exists/, "already-exists"],
  [/Operation not permitted|Permission denied/, "permission-denied"],
  [/Device or resource busy|conflicting (intervals|protocols)|interval overlaps/, "failed-precondition"],
  [/No space left|Cannot allocate|Too many|No buffer space|Message too long/, "exhausted"],
  [/Operation not supported|Protocol not supported/, "unimplemented"],
  [/syntax error|unexpected|unknown|Invalid|Could not (resolve|parse)/i, "invalid"],
];

/**
 * Runs nft commands (nft(8)'s language, or JSON with `json`) in this process, all of them as one transaction: all or none take
 * effect. Returns what `list` commands print. An error carries nft's own report, which shows the place.
 */
export function nft(commands: string, options: NftOptions = {}): string {
  const lib = library();
  const flags =
    OUTPUT.NUMERIC_PRIO |
    (options.json === true ? OUTPUT.JSON : 0) |
    (options.handles === true ? OUTPUT.HANDLE : 0) |
    (options.echo === true ? OUTPUT.ECHO : 0) |
    (options.stateless === true ? OUTPUT.STATELESS : 0);
  const text = cString(commands);
  return inNetns(options.netns, () => {
    const own = namespaceIdentity("/proc/thread-self/ns/net") === ownNetns;
    const context = own ? (ownContext ??= createContext(lib)) : createContext(lib);
    try {
      lib.setFlags(context, flags);
      // A SIGCHLD would break a transaction off: undone when the kernel was at work, done when its answer was being read.
      const failed = withSignalsBlocked(() => lib.run(context, text)) !== 0;
      // Reading a buffer empties it, so both are read whatever happened.
      const output = lib.output(context);
      const report = lib.error(context).trim();
      if (!failed) return output;
      const code = reasons.find(([pattern]) => pattern.test(report))?.[1] ?? "internal";
      throw new TripodError(code, `nft: ${report.slice(0, 4000)}`);
    } finally {
      if (!own) lib.free(context);
    }
  });
}
