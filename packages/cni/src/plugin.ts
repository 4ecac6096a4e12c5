import type { JsonObject } from "./json.ts";
import type { CniResult } from "./result.ts";
import { supportedVersions } from "./version.ts";

/** The commands of the specification that reach a plugin's code. */
export type CniCommand = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS";

/** A container's interface in a network. */
export interface AttachmentKey {
  readonly containerId: string;
  readonly ifname: string;
}

/** What a plugin is given: the same whether it runs in the daemon or as an executable. */
export interface PluginCall extends AttachmentKey {
  readonly command: CniCommand;
  /** The network namespace's path; "" on GC and STATUS, and on a DEL that comes after the namespace has gone. */
  readonly netns: string;
  /** CNI_ARGS by name. */
  readonly args: ReadonlyMap<string, string>;
  /** The network's name. */
  readonly network: string;
  readonly cniVersion: string;
  /** The whole configuration, as it came on standard input. */
  readonly config: JsonObject;
  /** What the chain has built so far (ADD), or what ADD had built in the end (CHECK, DEL). */
  readonly prevResult?: CniResult;
  /** GC: the attachments that live; all others of this network are to go. */
  readonly validAttachments: readonly AttachmentKey[];
  readonly signal: AbortSignal;
  /** Hands this call's configuration, or another, on to a plugin, such as the one that `ipam.type` names; its result on ADD. */
  delegate(type: string, command: CniCommand, config?: JsonObject): Promise<CniResult>;
}

/** The contract of a plugin. Every function must be idempotent after a crash; DEL and GC must succeed on what is gone. */
export interface CniPlugin {
  /** The name under which configurations call it and it is installed: the executable's name. */
  readonly name: string;
  /** The versions of the specification that it speaks. */
  readonly versions: readonly string[];
  add(call: PluginCall): Promise<CniResult> | CniResult;
  del(call: PluginCall): Promise<void> | void;
  check(call: PluginCall): Promise<void> | void;
  gc(call: PluginCall): Promise<void> | void;
  status(call: PluginCall): Promise<void> | void;
  /** Reads the configuration and nothing else; throws "invalid", naming the key in quotes, for what is wrong in it. */
  validate(call: PluginCall): void;
}

/** What an author writes: `versions` is everything from 0.1.0 unless told; check, gc, status and validate succeed unless written. */
export interface PluginDefinition
  extends Pick<CniPlugin, "name" | "add" | "del">,
    Partial<Pick<CniPlugin, "versions" | "check" | "gc" | "status" | "validate">> {}

/** Completes a definition to a plugin, for CniRuntime's in-process map and for runPluginMain(). */
export function definePlugin(definition: PluginDefinition): CniPlugin {
  return { versions: supportedVersions, check() {}, gc() {}, status() {}, validate() {}, ...definition };
}
