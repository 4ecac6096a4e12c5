import { fromJson, type JsonObject, type JsonValue, toJson } from "@bufbuild/protobuf";
import { NamespaceMode, type PodSandboxConfig, PodSandboxConfigSchema, type PodSandboxMetadata } from "@tripod/api/cri";
import { TripodError } from "@tripod/base";
import type { IdMapping } from "@tripod/linux";
import type { Resource } from "./resource-store.ts";

/**
 * Where a sandbox is in its life. "making" and "removing" are undone, or finished, after a crash; "stopping" is finished; in "stopped"
 * nothing of it is left but the record and its folder.
 */
export type SandboxPhase = "making" | "ready" | "stopping" | "stopped" | "removing";

export interface SandboxRecord extends Resource {
  readonly phase: SandboxPhase;
  /** The PodSandboxConfig as it came, in protobuf's JSON. */
  readonly config: JsonValue;
  readonly handler: string;
  /** Nanoseconds since 1970, decimal. */
  readonly createdAtNs: string;
  /** Absolute, below the root of each hierarchy. */
  readonly cgroupParent: string;
  /** Whether the cgroup was made for this sandbox alone and goes with it. */
  readonly ownsCgroup: boolean;
  readonly hostNetwork: boolean;
  readonly hostIpc: boolean;
  /** The mapping of its user namespace; the host's is used without one. */
  readonly userNamespace?: { readonly uids: IdMapping; readonly gids: IdMapping };
  /** Addresses that CNI gave, without prefix length, the first one first. */
  readonly ips: readonly string[];
  /** The init process of a shared PID namespace. */
  readonly init?: { readonly pid: number; readonly startTime: string };
  /** Listeners know already that it is not ready: its init has ended by itself. */
  readonly endTold?: boolean;
}

export const encodeSandboxConfig = (config: PodSandboxConfig): JsonValue => toJson(PodSandboxConfigSchema, config);

const decoded = new WeakMap<object, PodSandboxConfig>();

/** The record's configuration as a message, decoded once. */
export function sandboxConfigOf(record: SandboxRecord): PodSandboxConfig {
  const json = record.config as JsonObject; // a message is an object in protobuf's JSON
  let config = decoded.get(json);
  if (config === undefined) {
    config = fromJson(PodSandboxConfigSchema, json, { ignoreUnknownFields: true });
    decoded.set(json, config);
  }
  return config;
}

/** The metadata, which RunPodSandbox insists on. */
export function sandboxMetadata(config: PodSandboxConfig | undefined): PodSandboxMetadata {
  const metadata = config?.metadata;
  if (metadata === undefined || metadata.name === "" || metadata.namespace === "" || metadata.uid === "") {
    throw new TripodError("invalid", "sandbox: metadata needs a name, a namespace and a uid");
  }
  return metadata;
}

export const sandboxName = ({ namespace, name, uid, attempt }: PodSandboxMetadata): string =>
  [namespace, name, uid, attempt].join("/");

/** The PID namespace of a Pod that says nothing of it is shared: the CRI's default (api.proto, NamespaceOption), though not a kubelet's. */
export const sandboxPidMode = (sandbox: SandboxRecord): NamespaceMode =>
  sandboxConfigOf(sandbox).linux?.securityContext?.namespaceOptions?.pid ?? NamespaceMode.POD;
