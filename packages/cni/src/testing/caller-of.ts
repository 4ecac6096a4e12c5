import type { JsonObject } from "../json.ts";
import type { CniCommand, CniPlugin } from "../plugin.ts";
import { type CalleeCall, ownCallee } from "./callee.ts";

/** What is the same in every call of a test file. */
export interface CallerOptions {
  readonly plugin: CniPlugin;
  readonly delegates?: readonly CniPlugin[];
  /** The network's name. */
  readonly network: string;
  readonly config: JsonObject;
}

/** What differs from call to call; `more` is laid over the configuration. */
export interface CallOptions extends Omit<CalleeCall, "netns"> {
  readonly more?: JsonObject;
}

/** Calls a plugin of ours in process with one configuration of version 1.1.0. */
export function callerOf({ plugin, delegates, network, config }: CallerOptions) {
  const callee = ownCallee(plugin, delegates);
  return (command: CniCommand, netns: string, { more = {}, ...call }: CallOptions = {}): Promise<JsonObject> =>
    callee.call(
      command,
      { cniVersion: "1.1.0", name: network, type: plugin.name, ...config, ...more },
      { netns, ...call },
    );
}
