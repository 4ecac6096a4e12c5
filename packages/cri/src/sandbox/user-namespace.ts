import { chownSync } from "node:fs";
import { type IDMapping, NamespaceMode, type PodSandboxConfig, type UserNamespace } from "@tripod/api/cri";
import { TripodError } from "@tripod/base";
import type { IdMapping } from "@tripod/linux";
import type { IdMap } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import type { SandboxRecord } from "../records/sandbox-record.ts";
import { sandboxPaths, type SandboxPaths } from "./paths.ts";

/** How a Pod's user namespace maps ids. */
export interface UserNamespaceMap {
  readonly uids: IdMapping;
  readonly gids: IdMapping;
}

/** The kernel's ids are 32 bits; the last one means "none". */
const endOfIds = 2 ** 32 - 1;

/** The one range that the kubelet gives; several, or one without root in it, are refused as by every runtime. */
export function mappingOf(mappings: readonly IDMapping[], what: string): IdMapping {
  const [mapping] = mappings;
  const refuse = (why: string): never => {
    throw new TripodError("invalid", `user namespace: ${what}: ${why}`);
  };
  if (mapping === undefined) return refuse("mode POD needs a mapping");
  if (mappings.length > 1) return refuse(`${mappings.length} mappings, only one is supported`);
  const { containerId, hostId, length } = mapping;
  if (containerId !== 0) return refuse(`the mapping starts at ${containerId}; id 0 of the container must be mapped`);
  if (length < 1) return refuse("the mapping has length 0");
  if (hostId === 0) return refuse("the mapping would make the container's root the host's; give it other host ids");
  if (hostId + length > endOfIds) return refuse(`host ids ${hostId} to ${hostId + length - 1} go beyond 32 bits`);
  return { containerId, hostId, length };
}

/** The mapping that options ask for; undefined for the host's user namespace. */
export function userNamespaceOf(options: UserNamespace | undefined): UserNamespaceMap | undefined {
  if (options === undefined) return undefined;
  switch (options.mode) {
    case NamespaceMode.POD:
      return { uids: mappingOf(options.uids, "uids"), gids: mappingOf(options.gids, "gids") };
    case NamespaceMode.NODE:
      if (options.uids.length + options.gids.length === 0) return undefined;
      throw new TripodError("invalid", "user namespace: mode NODE takes no mappings");
    default:
      throw new TripodError("invalid", `user namespace: mode ${options.mode} is neither POD nor NODE`);
  }
}

/** The user namespace of a sandbox that is about to be made. What cannot be together with one is refused. */
export function planUserNamespace(config: PodSandboxConfig): UserNamespaceMap | undefined {
  const security = config.linux?.securityContext;
  const options = security?.namespaceOptions;
  const map = userNamespaceOf(options?.usernsOptions);
  if (map === undefined) return undefined;
  const shared = (["network", "pid", "ipc"] as const).filter((kind) => options?.[kind] === NamespaceMode.NODE);
  if (shared.length > 0) {
    throw new TripodError(
      "invalid",
      `sandbox: a user namespace cannot be together with the host's ${shared.join(" and ")}; set hostUsers or leave those`,
    );
  }
  if (security?.privileged === true) {
    throw new TripodError("invalid", "sandbox: a privileged Pod cannot have a user namespace; set hostUsers");
  }
  return map;
}

/** The sandbox's mapping with the namespace that has it; undefined when it uses the host's. */
export function idMapOf(context: Pick<CriContext, "layout">, sandbox: SandboxRecord): IdMap | undefined {
  const userNamespace = sandboxPaths(context, sandbox).user;
  const map = sandbox.userNamespace;
  return map === undefined || userNamespace === undefined ? undefined : { userNamespace, ...map };
}

/** Gives files that the sandbox's containers share to the Pod's root. */
export function giveToPod(paths: SandboxPaths, { uids, gids }: UserNamespaceMap): void {
  for (const file of [paths.resolvConf, paths.hostname, paths.hosts]) chownSync(file, uids.hostId, gids.hostId);
}
