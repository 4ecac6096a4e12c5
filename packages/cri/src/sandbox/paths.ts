import { join } from "node:path";
import type { CriContext } from "../context.ts";
import type { SandboxRecord } from "../records/sandbox-record.ts";

/** Everything of a sandbox that has a path follows from its id. */
export interface SandboxPaths {
  readonly folder: string;
  /** Undefined when the sandbox uses the host's. */
  readonly net: string | undefined;
  readonly ipc: string | undefined;
  readonly uts: string | undefined;
  readonly user: string | undefined;
  readonly shm: string;
  readonly resolvConf: string;
  readonly hostname: string;
  readonly hosts: string;
  /** The bundle of a shared PID namespace's init. */
  readonly init: string;
}

export function sandboxPaths(
  context: Pick<CriContext, "layout">,
  sandbox: Pick<SandboxRecord, "id" | "hostNetwork" | "hostIpc" | "userNamespace">,
): SandboxPaths {
  const folder = join(context.layout.sandboxesDir, sandbox.id);
  return {
    folder,
    net: sandbox.hostNetwork ? undefined : join(folder, "ns", "net"),
    ipc: sandbox.hostIpc ? undefined : join(folder, "ns", "ipc"),
    // The host's network shows the host's name; a name of its own would not resolve there.
    uts: sandbox.hostNetwork ? undefined : join(folder, "ns", "uts"),
    user: sandbox.userNamespace === undefined ? undefined : join(folder, "ns", "user"),
    shm: sandbox.hostIpc ? "/dev/shm" : join(folder, "shm"),
    resolvConf: join(folder, "resolv.conf"),
    hostname: join(folder, "hostname"),
    hosts: join(folder, "hosts"),
    init: join(folder, "init"),
  };
}
