import { isDeepStrictEqual } from "node:util";
import { NamespaceMode, type NamespaceOption } from "@tripod/api/cri";
import { TripodError } from "@tripod/base";
import type { NamespaceChoice, NamespaceRequest, ResolvedUser } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import { sandboxPidMode, type SandboxRecord } from "../records/sandbox-record.ts";
import { sandboxPaths } from "../sandbox/paths.ts";
import { userNamespaceOf } from "../sandbox/user-namespace.ts";
import { isAlive } from "./process.ts";

const pinned = (path: string | undefined): NamespaceChoice =>
  path === undefined ? { kind: "host" } : { kind: "path", path };

/** "NODE"; undefined for a number that is no mode. */
const modeName = (mode: NamespaceMode): string | undefined =>
  Object.entries(NamespaceMode).find(([, value]) => value === mode)?.[0];

/** Refuses modes that there are none of, or that the kind of namespace cannot have. */
export function checkNamespaceModes(what: "sandbox" | "container", options: NamespaceOption | undefined): void {
  if (options === undefined) return;
  for (const [kind, mode] of [
    ["network", options.network],
    ["pid", options.pid],
    ["ipc", options.ipc],
  ] as const) {
    const targets = what === "container" && kind === "pid";
    const name = modeName(mode);
    if (name === undefined || (mode === NamespaceMode.TARGET && !targets)) {
      throw new TripodError("invalid", `${what}: its ${kind} namespace cannot be of mode ${name ?? String(mode)}`);
    }
  }
}

function pidChoice(context: CriContext, sandbox: SandboxRecord, options: NamespaceOption | undefined): NamespaceChoice {
  // A container that says nothing of its own is as its Pod is.
  switch (options?.pid ?? sandboxPidMode(sandbox)) {
    case NamespaceMode.NODE:
      return { kind: "host" };
    case NamespaceMode.TARGET: {
      const target = context.containers.get(options?.targetId ?? "");
      if (target.sandboxId !== sandbox.id || !isAlive(target.init)) {
        throw new TripodError(
          "failed-precondition",
          `container: target ${target.id} of its PID namespace is not running in this sandbox`,
        );
      }
      return { kind: "path", path: `/proc/${target.init?.pid}/ns/pid` };
    }
    case NamespaceMode.POD: {
      if (sandboxPidMode(sandbox) === NamespaceMode.NODE) return { kind: "host" };
      if (!isAlive(sandbox.init)) {
        throw new TripodError(
          "failed-precondition",
          `container: sandbox ${sandbox.id} has no shared PID namespace (any more)`,
        );
      }
      return { kind: "path", path: `/proc/${sandbox.init?.pid}/ns/pid` };
    }
    default:
      return { kind: "new" };
  }
}

/** The namespaces of a container in its sandbox. */
export function namespacesOf(
  context: CriContext,
  sandbox: SandboxRecord,
  options: NamespaceOption | undefined,
): NamespaceRequest {
  checkNamespaceModes("container", options);
  const paths = sandboxPaths(context, sandbox);
  for (const kind of ["network", "ipc"] as const) {
    const own = (kind === "network" ? paths.net : paths.ipc) !== undefined;
    if (options?.[kind] === NamespaceMode.NODE && own) {
      throw new TripodError(
        "invalid",
        `container: it asks for the host's ${kind} namespace, but its sandbox ${sandbox.id} has one of its own`,
      );
    }
  }
  return {
    network: pinned(paths.net),
    ipc: pinned(paths.ipc),
    uts: pinned(paths.uts),
    pid: pidChoice(context, sandbox, options),
    user: pinned(paths.user),
    cgroup: { kind: context.cgroup.version === "v2" ? "new" : "host" },
  };
}

/** Refuses a container that asks for another user namespace than its sandbox has, or for ids that this one has not. */
export function checkUserNamespace(
  sandbox: SandboxRecord,
  options: NamespaceOption | undefined,
  user: ResolvedUser,
): void {
  const asked = options?.usernsOptions;
  if (asked !== undefined && !isDeepStrictEqual(userNamespaceOf(asked), sandbox.userNamespace)) {
    throw new TripodError(
      "invalid",
      "container: its user namespace configuration is different from its sandbox's; send both the same",
    );
  }
  if (sandbox.userNamespace !== undefined && options?.pid === NamespaceMode.NODE) {
    throw new TripodError("invalid", "container: a Pod with a user namespace cannot have the host's PID namespace");
  }
  checkIds(sandbox, user);
}

/** Refuses a user whose ids the sandbox's user namespace does not have. */
export function checkIds(sandbox: SandboxRecord, user: ResolvedUser): void {
  const { uids, gids } = sandbox.userNamespace ?? {};
  for (const [what, id, map] of [
    ["user", user.uid, uids],
    ...[user.gid, ...user.additionalGids].map((gid) => ["group", gid, gids] as const),
  ] as const) {
    if (map === undefined || id < map.length) continue;
    throw new TripodError(
      "invalid",
      `container: ${what} ${id} is not in the Pod's user namespace, which has 0 to ${map.length - 1}; run as another`,
    );
  }
}
