import { closeSync, mkdirSync, openSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { failpoint, TripodError } from "@tripod/base";
import { cString, libc } from "../libc.ts";
import { bindMount } from "../mounts/bind-mount.ts";
import { check } from "../system-call-error.ts";
import { namespaceExists } from "./namespace-identity.ts";
import { namespaceFlags, namespaceKinds } from "./namespace-kind.ts";
import { removeNamespace } from "./remove-namespace.ts";
import { restoringNamespaces } from "./thread-namespaces.ts";

export interface CreateNamespacesOptions {
  /** Where the new network namespace is pinned; its folder is made when absent. Likewise the others. */
  readonly net?: string;
  readonly ipc?: string;
  readonly uts?: string;
  /** The host name of the new UTS namespace, at most 64 bytes; needs `uts`. The caller's own when left out. */
  readonly hostname?: string;
}

/**
 * Makes namespaces and pins each by a bind mount of its file, in one synchronous step on the calling thread, so that they live
 * without any process in them. All or none: after an error nothing is left. A plain file left at a path by a crash is used again;
 * a namespace already pinned there is "already-exists". A new network namespace has only `lo`, and that is down.
 */
export function createNamespaces(options: CreateNamespacesOptions): void {
  const kinds = namespaceKinds.filter((kind) => options[kind] !== undefined);
  if (options.hostname !== undefined && options.uts === undefined) {
    throw new TripodError("invalid", `create namespaces: a host name (${options.hostname}) needs a UTS namespace`);
  }
  using undo = new DisposableStack();
  restoringNamespaces(kinds, () => {
    for (const kind of kinds) prepareFile(options[kind]);
    check("unshare", kinds.join("+"), libc.unshare(kinds.reduce((flags, kind) => flags | namespaceFlags[kind], 0)));
    if (options.hostname !== undefined) {
      const name = cString(options.hostname);
      check("sethostname", options.hostname, libc.sethostname(name, name.length - 1));
    }
    for (const kind of kinds) {
      const path = options[kind];
      if (path === undefined) continue;
      undo.defer(() => removeNamespace(path));
      bindMount(`/proc/thread-self/ns/${kind}`, path, { propagation: "private" });
      failpoint(`linux.namespace.${kind}-pinned`);
    }
  });
  undo.move();
}

/** Makes the empty file on which a namespace is to be pinned. */
export function prepareFile(path: string | undefined): void {
  if (path === undefined) return;
  if (namespaceExists(path)) throw new TripodError("already-exists", `create namespace ${path}: one is pinned there`);
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  closeSync(openSync(path, "wx", 0o444));
}
