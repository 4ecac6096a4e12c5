import { messageOf } from "@tripod/base";
import type { JsonObject, JsonValue } from "./json.ts";
import type { NetworkConfig, PluginConfig } from "./network-config.ts";
import type { CniCommand } from "./plugin.ts";
import type { PluginInvoker } from "./plugin-invoker.ts";
import type { PluginRequest } from "./plugin-request.ts";
import type { CniResult } from "./result.ts";
import { parseResult, resultToJson } from "./result-wire.ts";

/** What all plugins of one operation are told alike. */
export interface ChainCall {
  readonly network: NetworkConfig;
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  readonly args: string;
  readonly path: readonly string[];
  readonly capabilityArgs: JsonObject;
  readonly signal: AbortSignal;
}

/**
 * The standard input of one plugin: its configuration with the network's name and version, the result so far, and of the
 * capability arguments those whose capability it declares.
 */
function pluginStdin(
  network: NetworkConfig,
  plugin: PluginConfig,
  more: {
    readonly prevResult?: CniResult | undefined;
    readonly capabilityArgs?: JsonObject;
    readonly extra?: JsonObject;
  },
): JsonObject {
  const given: [string, JsonValue][] = Object.entries(more.capabilityArgs ?? {}).filter(([key]) =>
    plugin.capabilities.has(key),
  );
  return {
    ...plugin.config,
    name: network.name,
    cniVersion: network.cniVersion,
    ...(more.prevResult === undefined ? {} : { prevResult: resultToJson(more.prevResult, network.cniVersion) }),
    ...(given.length === 0 ? {} : { runtimeConfig: Object.fromEntries(given) }),
    ...more.extra,
  };
}

const request = (call: ChainCall, command: CniCommand, stdin: JsonObject): PluginRequest => ({
  command,
  containerId: call.containerId,
  netns: call.netns,
  ifname: call.ifname,
  args: call.args,
  path: call.path,
  stdin,
  signal: call.signal,
});

/** ADD along the chain; the first failure ends it, and the caller is to DEL. */
export async function addChain(invoker: PluginInvoker, call: ChainCall): Promise<CniResult> {
  const { network, capabilityArgs } = call;
  let prevResult: CniResult | undefined;
  for (const plugin of network.plugins) {
    call.signal.throwIfAborted();
    const stdin = pluginStdin(network, plugin, { prevResult, capabilityArgs });
    prevResult = parseResult(await invoker.invoke(plugin.type, request(call, "ADD", stdin)), network.cniVersion);
  }
  return prevResult ?? parseResult(undefined, network.cniVersion);
}

/** DEL in reverse order. A failing plugin does not keep the others from their work: the failures come back together. */
export async function deleteChain(
  invoker: PluginInvoker,
  call: ChainCall,
  prevResult: CniResult | undefined,
): Promise<readonly Error[]> {
  const failures: Error[] = [];
  for (const plugin of call.network.plugins.toReversed()) {
    const stdin = pluginStdin(call.network, plugin, { prevResult, capabilityArgs: call.capabilityArgs });
    try {
      await invoker.invoke(plugin.type, request(call, "DEL", stdin));
    } catch (error) {
      failures.push(new Error(`${plugin.type}: ${messageOf(error)}`, { cause: error }));
    }
  }
  return failures;
}

/** CHECK in order; the first failure is the answer. */
export async function checkChain(
  invoker: PluginInvoker,
  call: ChainCall,
  prevResult: CniResult | undefined,
): Promise<void> {
  for (const plugin of call.network.plugins) {
    const stdin = pluginStdin(call.network, plugin, { prevResult, capabilityArgs: call.capabilityArgs });
    await invoker.invoke(plugin.type, request(call, "CHECK", stdin));
  }
}

/** STATUS or GC of every plugin; failures come back together. */
export async function everyPlugin(
  invoker: PluginInvoker,
  command: "STATUS" | "GC",
  call: ChainCall,
  extra: JsonObject,
): Promise<readonly Error[]> {
  const failures: Error[] = [];
  for (const plugin of call.network.plugins) {
    try {
      await invoker.invoke(plugin.type, request(call, command, pluginStdin(call.network, plugin, { extra })));
    } catch (error) {
      failures.push(new Error(`${plugin.type}: ${messageOf(error)}`, { cause: error }));
    }
  }
  return failures;
}
