import type { User } from "../registry/resource.ts";

/** What is asked: a verb on a resource, or on a path that is none. */
export interface Action {
  readonly verb: string;
  readonly resource?: {
    readonly group: string;
    readonly plural: string;
    readonly subresource?: string | undefined;
    readonly namespace?: string | undefined;
    readonly name?: string | undefined;
  };
  readonly path?: string;
}

const openPaths = ["/healthz", "/livez", "/readyz", "/version"];
const readVerbs = ["get", "list", "watch"];

/** What a kubelet reads, and what it writes; "*" is every verb. Its own Node only, where the name says so. */
const nodeRules: Readonly<Record<string, readonly string[]>> = {
  nodes: ["get", "list", "watch", "create", "update", "patch"],
  pods: ["get", "list", "watch", "create", "update", "patch", "delete"],
  events: ["create", "update", "patch"],
  secrets: readVerbs,
  configmaps: readVerbs,
  serviceaccounts: ["get", "create"],
  persistentvolumeclaims: [...readVerbs, "update", "patch"],
  persistentvolumes: readVerbs,
  volumeattachments: readVerbs,
  csidrivers: readVerbs,
  csinodes: ["*"],
  leases: ["*"],
  runtimeclasses: readVerbs,
  storageclasses: readVerbs,
  namespaces: readVerbs,
  services: readVerbs,
};

/** What a kubelet addresses of a kind: the object itself (undefined) alone, unless told. */
const nodeSubresources: Readonly<Record<string, readonly (string | undefined)[]>> = {
  nodes: [undefined, "status"],
  pods: [undefined, "status"],
  persistentvolumeclaims: [undefined, "status"],
  serviceaccounts: [undefined, "token"],
};

/**
 * Who may do what, until RBAC comes: administrators and our own controllers everything, kubelets what a kubelet needs, service
 * accounts read in their own namespace but no Secrets, everyone the health paths, whoever is known the discovery.
 */
export function isAllowed(user: User, action: Action): boolean {
  if (user.groups.includes("system:masters") || user.name === "system:kube-controller-manager") return true;
  const known = user.groups.includes("system:authenticated");
  const { path, resource, verb } = action;
  if (path !== undefined)
    return openPaths.some((open) => path === open || path.startsWith(`${open}/`)) || (known && verb === "get");
  if (resource === undefined) return false;
  if (known && ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"].includes(resource.plural))
    return true;
  if (user.groups.includes("system:nodes")) {
    const { plural, subresource } = resource;
    // No exec, no binding: those are not for one node to do to another's Pods.
    if (!(nodeSubresources[plural] ?? [undefined]).includes(subresource)) return false;
    // Tokens are made by a kubelet, accounts are not.
    if (plural === "serviceaccounts" && verb === "create" && subresource !== "token") return false;
    const verbs = nodeRules[resource.plural] ?? [];
    if (
      resource.plural === "nodes" &&
      !readVerbs.includes(verb) &&
      verb !== "create" &&
      `system:node:${resource.name}` !== user.name
    )
      return false;
    return verbs.includes("*") || verbs.includes(verb);
  }
  const home = user.groups
    .find((group) => group.startsWith("system:serviceaccounts:"))
    ?.slice("system:serviceaccounts:".length);
  return (
    home !== undefined &&
    home === resource.namespace &&
    readVerbs.includes(verb) &&
    resource.plural !== "secrets" &&
    resource.subresource === undefined
  );
}
