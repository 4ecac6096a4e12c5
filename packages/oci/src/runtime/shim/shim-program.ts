import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { messageOf, runCommand, TripodError } from "@tripod/base";
import { findProgram } from "../runc/find-program.ts";
import { parseShimAddress, type ShimAddress } from "./shim-address.ts";

/** How a shim program is called. */
export interface ShimProgram {
  /** The program, by its path or to be found. */
  readonly shim: string;
  /** containerd's word for a realm of ids; the handler's name does. */
  readonly namespace: string;
  /** Where everything of this handler is kept. */
  readonly rootDir: string;
}

/** A shim that does not start in this time hangs. */
const startTimeoutMs = 60_000;
const deleteTimeoutMs = 30_000;

/**
 * What every call has. The address stands for a daemon's: it goes into the name of the shim's socket, and makes the shim's command
 * line recognizable. Nobody listens there: what a shim has to tell, its task service answers.
 */
const common = (id: string, program: ShimProgram): string[] => [
  "-namespace",
  program.namespace,
  "-id",
  id,
  "-address",
  join(program.rootDir, "daemon.sock"),
  "-publish-binary",
  "/bin/true",
];

const environment = ({ rootDir, namespace }: ShimProgram): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin",
  GOMAXPROCS: "2",
  MAX_SHIM_VERSION: "3",
  TTRPC_ADDRESS: join(rootDir, "daemon.sock.ttrpc"),
  GRPC_ADDRESS: join(rootDir, "daemon.sock"),
  NAMESPACE: namespace,
});

/** Starts the shim of container `id`, which detaches itself; its address. */
export async function startShim(id: string, bundle: string, program: ShimProgram): Promise<ShimAddress> {
  mkdirSync(program.rootDir, { recursive: true, mode: 0o700 });
  const shim = findProgram(program.shim);
  try {
    const { stdout } = await runCommand(shim, [...common(id, program), "start"], {
      cwd: bundle,
      env: environment(program),
      input: "",
      timeoutMs: startTimeoutMs,
    });
    return parseShimAddress(stdout);
  } catch (cause) {
    throw new TripodError("internal", `start shim of container ${id}: ${messageOf(cause)}`, { cause });
  }
}

/** Has the program take away what a shim that has died left of its container. */
export async function deleteAfterShim(id: string, bundle: string, program: ShimProgram): Promise<void> {
  await runCommand(findProgram(program.shim), [...common(id, program), "-bundle", bundle, "delete"], {
    cwd: bundle,
    env: environment(program),
    timeoutMs: deleteTimeoutMs,
  });
}

/** What the program calls itself: "containerd-shim-runc-v2 1.6.20". */
export async function shimVersion(program: Pick<ShimProgram, "shim">): Promise<string> {
  const { stdout, stderr } = await runCommand(findProgram(program.shim), ["-v"], {
    okExitCodes: "any",
    timeoutMs: 10_000,
  });
  const text = `${stdout.toString()}\n${stderr.toString()}`;
  const name = program.shim.split("/").at(-1) ?? program.shim;
  return `${name} version ${/version:?\s*([^\s]+)/i.exec(text)?.[1] ?? "unknown"}`;
}
