import type { NamespaceSpec } from "./runtime-spec.ts";

/** Which instance of a namespace a container uses. */
export type NamespaceChoice =
  | { readonly kind: "host" }
  | { readonly kind: "new" }
  | { readonly kind: "path"; readonly path: string };

export interface NamespaceRequest {
  readonly network: NamespaceChoice;
  readonly ipc: NamespaceChoice;
  readonly uts: NamespaceChoice;
  readonly pid: NamespaceChoice;
  /** The host's unless told. */
  readonly user?: NamespaceChoice;
  /** A private cgroup namespace is of use only where cgroup v2 is mounted alone. */
  readonly cgroup: NamespaceChoice;
}

/** The list for config.json; the mount namespace is always new, a host namespace is one that is left out. */
export function buildNamespaces(request: NamespaceRequest): NamespaceSpec[] {
  const types = ["user", "pid", "network", "ipc", "uts", "cgroup"] as const;
  const specs: NamespaceSpec[] = [{ type: "mount" }];
  for (const type of types) {
    const choice = request[type];
    if (choice?.kind === "new") specs.push({ type });
    else if (choice?.kind === "path") specs.push({ type, path: choice.path });
  }
  return specs;
}
