import type { CniCommand } from "./plugin.ts";
import type { JsonObject } from "./json.ts";

/** One call of a plugin as it goes over the wire: environment and standard input. */
export interface PluginRequest {
  readonly command: CniCommand;
  /** "" where the command has none (GC, STATUS). */
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  /** CNI_ARGS: `K=V;K=V`. */
  readonly args: string;
  /** CNI_PATH: the folders in which delegates are looked for. */
  readonly path: readonly string[];
  readonly stdin: JsonObject;
  readonly signal: AbortSignal;
  /** CNI_NETNS_OVERRIDE: the namespace may be the plugin's own. */
  readonly netnsOverride?: boolean;
}
