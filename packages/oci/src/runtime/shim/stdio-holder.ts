import { closeSync, constants, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { isNodeError } from "@tripod/base";
import { mknod } from "@tripod/linux";
import type { CreateRequest, SupervisedContainer } from "../low-level-runtime.ts";
import { createSupervised } from "../runc/create.ts";

/**
 * A shim copies a container's streams from and to fifos, and whoever reads those has to outlive us, write CRI's log, and serve those who
 * attach. conmon does all of that for the process that it takes for the container. So it is given one that does nothing but hold the
 * pipes open until it is told the container's exit code, and ends with it; the shim opens conmon's own pipes through /proc/PID/fd.
 * Not a byte is copied once more, nothing is lost while this process is down, and exit codes come the way they always do.
 */
const holderScript = `
while [ "$#" -gt 1 ]; do [ "$1" = --pid-file ] && pid=$2; shift; done
exec 5<&0 6>&1 7>&2 4<>"\${pid%/*}/ended" </dev/null >/dev/null 2>&1
(read -r code <&4; exit "\${code:-255}") &
echo $! >"$pid"
`;

const endedFifo = (bundle: string): string => join(bundle, "ended");

export interface HolderOptions {
  readonly conmon: string;
  readonly rootDir: string;
  readonly exitDir: string;
}

/** Starts conmon and the holder; `pid` is the holder's. */
export async function startHolder(request: CreateRequest, options: HolderOptions): Promise<SupervisedContainer> {
  rmSync(endedFifo(request.bundle), { force: true });
  mknod(endedFifo(request.bundle), { kind: "fifo", mode: 0o600 });
  return await createSupervised(
    // A terminal is the shim's own matter: conmon sees pipes.
    { ...request, terminal: false, systemdCgroup: false },
    { ...options, runtime: "/bin/sh", arguments: ["-c", holderScript] },
  );
}

/** The paths by which the shim opens conmon's pipes. */
export const holderStdio = (pid: number, request: Pick<CreateRequest, "stdin" | "terminal">) => ({
  stdin: request.stdin ? `/proc/${pid}/fd/5` : "",
  stdout: `/proc/${pid}/fd/6`,
  stderr: request.terminal ? "" : `/proc/${pid}/fd/7`,
});

/** Tells the holder how the container has ended; one that is gone is no error. */
export function endHolder(bundle: string, code: number): void {
  let fd: number;
  try {
    fd = openSync(endedFifo(bundle), constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (isNodeError(error, "ENXIO", "ENOENT")) return;
    throw error;
  }
  try {
    writeSync(fd, `${code}\n`);
  } finally {
    closeSync(fd);
  }
}
