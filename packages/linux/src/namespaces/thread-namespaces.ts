import { closeSync, constants, openSync, writeSync } from "node:fs";
import { libc } from "../libc.ts";
import { check } from "../system-call-error.ts";
import { type NamespaceKind, namespaceFlags } from "./namespace-kind.ts";

/**
 * Runs `work` and puts the calling thread's namespaces of these kinds back to what they were. `work` must be synchronous: between
 * two turns of the event loop nothing may run in a foreign namespace. When they cannot be put back the process ends at once
 * (SIGABRT): going on would configure the network of the wrong namespace.
 */
export function restoringNamespaces<T>(kinds: readonly NamespaceKind[], work: () => T): T {
  const saved: { kind: NamespaceKind; fd: number }[] = [];
  try {
    for (const kind of kinds) saved.push({ kind, fd: openSync(`/proc/thread-self/ns/${kind}`, constants.O_RDONLY) });
    try {
      return work();
    } finally {
      for (const { kind, fd } of saved) {
        if (libc.setns(fd, namespaceFlags[kind]) < 0) {
          writeSync(2, `tripod: cannot put this thread back into its own ${kind} namespace; aborting\n`);
          libc.abort();
        }
      }
    }
  } finally {
    for (const { fd } of saved) closeSync(fd);
  }
}

/** Moves the calling thread into the namespace pinned at `path`. Only inside restoringNamespaces(). */
export function enterNamespace(kind: NamespaceKind, path: string): void {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    check("setns", path, libc.setns(fd, namespaceFlags[kind]));
  } finally {
    closeSync(fd);
  }
}
