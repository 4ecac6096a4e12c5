import { TripodError } from "@tripod/base";
import { type NamespaceKind, namespaceKinds } from "./namespace-kind.ts";
import { enterNamespace, restoringNamespaces } from "./thread-namespaces.ts";

/** Paths of pinned namespaces; a kind left out stays the caller's. */
export type NamespacePaths = { readonly [kind in NamespaceKind]?: string | undefined };

/**
 * Runs `work` on the calling thread inside the given namespaces and returns what it returns. `work` is synchronous (a promise is
 * refused) and must not start asynchronous file or DNS work either: the first such call makes threads, which would stay inside.
 */
export function inNamespaces<T>(paths: NamespacePaths, work: () => T): T {
  const kinds = namespaceKinds.filter((kind) => paths[kind] !== undefined);
  if (kinds.length === 0) return work();
  return restoringNamespaces(kinds, () => {
    for (const kind of kinds) {
      const path = paths[kind];
      if (path !== undefined) enterNamespace(kind, path);
    }
    const result = work();
    if (result instanceof Promise) {
      throw new TripodError("internal", "inNamespaces: the work is asynchronous and would go on outside");
    }
    return result;
  });
}

/** Runs `work` inside the network namespace at `path`, or where the caller is when there is none. See inNamespaces(). */
export const inNetns = <T>(path: string | undefined, work: () => T): T => inNamespaces({ net: path }, work);
