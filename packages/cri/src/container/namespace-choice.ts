import { NamespaceMode, type NamespaceOption } from "@tripod/api/cri";
import { TripodError } from "@tripod/base";
import type { NamespaceChoice, NamespaceRequest } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import type { SandboxRecord } from "../records/sandbox-record.ts";
import { sandboxPaths } from "../sandbox/paths.ts";
import { isAlive } from "./process.ts";

const pinned = (path: string | undefined): NamespaceChoice =>
  path === undefined ? { kind: "host" } : { kind: "path", path };

function pidChoice(context: CriContext, sandbox: SandboxRecord, options: NamespaceOption | undefined): NamespaceChoice {
  switch (options?.pid) {
    case NamespaceMode.NODE:
      return { kind: "host" };
    case NamespaceMode.TARGET: {
      const target = context.containers.get(options.targetId);
      if (target.sandboxId !== sandbox.id || !isAlive(target.init)) {
        throw new TripodError(
          "failed-precondition",
          `container: target ${target.id} of its PID namespace is not running in this sandbox`,
        );
      }
      return { kind: "path", path: `/proc/${target.init?.pid}/ns/pid` };
    }
    case NamespaceMode.POD: {
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
  const paths = sandboxPaths(context, sandbox);
  return {
    network: pinned(paths.net),
    ipc: pinned(paths.ipc),
    uts: pinned(paths.uts),
    pid: pidChoice(context, sandbox, options),
    cgroup: { kind: context.cgroup.version === "v2" ? "new" : "host" },
  };
}
