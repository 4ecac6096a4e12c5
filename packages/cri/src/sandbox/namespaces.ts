import { existsSync, mkdirSync } from "node:fs";
import {
  createNamespaces,
  createUserNamespace,
  mountTmpfs,
  namespaceExists,
  removeNamespace,
  sysctlFile,
  unmount,
  writeSysctl,
  writeSysctlAsRootOf,
} from "@tripod/linux";
import { failpoint, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { CriContext } from "../context.ts";
import { sandboxConfigOf, type SandboxRecord } from "../records/sandbox-record.ts";
import { teardown } from "../teardown.ts";
import { sandboxPaths } from "./paths.ts";

/** Sysctls that belong to the IPC namespace; those of the network all start with net. */
const ipcSysctl = /^(kernel\/(shm|msg|sem)\w*|fs\/mqueue\/\w+)$/;

/** The sysctls by namespace. One that belongs to none of a Pod's, or that would change the host, is an "invalid" error. */
export function planSysctls(
  sysctls: Readonly<Record<string, string>>,
  own: { readonly net: boolean; readonly ipc: boolean; readonly uts: boolean },
): { readonly kind: "net" | "ipc" | "uts"; readonly name: string; readonly value: string }[] {
  return Object.entries(sysctls).map(([key, value]) => {
    // The name as a path, with slashes for its own dots ("net.ipv4.conf.eth0/5.forwarding" has one).
    const name = sysctlFile(key).slice("/proc/sys/".length);
    const kind = name.startsWith("net/")
      ? "net"
      : ipcSysctl.test(name)
        ? "ipc"
        : name === "kernel/domainname"
          ? "uts"
          : undefined;
    if (kind === undefined) throw new TripodError("invalid", `sysctl ${key}: it belongs to no namespace of a Pod`);
    if (!own[kind]) throw new TripodError("invalid", `sysctl ${key}: the Pod shares the host's ${kind} namespace`);
    return { kind, name, value };
  });
}

/** Makes the sandbox's folder, namespaces and /dev/shm, and sets its sysctls. */
export function makeNamespaces(context: CriContext, sandbox: SandboxRecord): Promise<void> {
  return withSpan("namespaces create", { "sandbox.id": sandbox.id }, async () => {
    const config = sandboxConfigOf(sandbox);
    const paths = sandboxPaths(context, sandbox);
    mkdirSync(`${paths.folder}/ns`, { recursive: true, mode: 0o711 });
    failpoint("cri.sandbox.folder-made");
    const { net, ipc, uts, user } = paths;
    const wanted = {
      ...(net !== undefined && { net }),
      ...(ipc !== undefined && { ipc }),
      ...(uts !== undefined && { uts }),
      ...(uts !== undefined && config.hostname !== "" && { hostname: config.hostname }),
    };
    const { userNamespace: map } = sandbox;
    if (user === undefined || map === undefined) createNamespaces(wanted);
    else await createUserNamespace(user, { ...wanted, ...map });
    failpoint("cri.sandbox.namespaces-made");
    if (!sandbox.hostIpc) {
      mkdirSync(paths.shm, { recursive: true, mode: 0o1777 });
      mountTmpfs(paths.shm, {
        sizeBytes: context.config.shmSizeBytes ?? 64 * 1024 * 1024,
        mode: 0o1777,
        ...(map !== undefined && { owner: { uid: map.uids.hostId, gid: map.gids.hostId } }),
      });
    }
    for (const { kind, name, value } of planSysctls(config.linux?.sysctls ?? {}, {
      net: net !== undefined,
      ipc: ipc !== undefined,
      uts: uts !== undefined,
    })) {
      if (kind === "ipc" && user !== undefined && ipc !== undefined)
        await writeSysctlAsRootOf(user, { name, value, ipc });
      else writeSysctl(name, { value, net, ipc, uts });
    }
  });
}

/** Whether the namespaces of the sandbox's own are still there; of one that has none, its folder. */
export function namespacesAlive(context: Pick<CriContext, "layout">, sandbox: SandboxRecord): boolean {
  const { net, ipc, folder } = sandboxPaths(context, sandbox);
  const pinned = net ?? ipc;
  return pinned === undefined ? existsSync(folder) : namespaceExists(pinned);
}

/** Undoes makeNamespaces(), also half of it. */
export async function removeNamespaces(context: CriContext, sandbox: SandboxRecord): Promise<void> {
  const paths = sandboxPaths(context, sandbox);
  const pinned = [paths.net, paths.ipc, paths.uts, paths.user].filter((path) => path !== undefined);
  await teardown(`remove namespaces of sandbox ${sandbox.id}`, [
    ...pinned.map((path) => () => removeNamespace(path)),
    () => (sandbox.hostIpc ? undefined : unmount(paths.shm, { detach: true })),
  ]);
  failpoint("cri.sandbox.namespaces-removed");
}
