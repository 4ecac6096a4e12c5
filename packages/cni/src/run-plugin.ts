import { namespaceIdentity } from "@tripod/linux";
import { CniError, cniCodes } from "./cni-error.ts";
import { isNetns } from "./is-netns.ts";
import { Fields, type JsonObject } from "./json.ts";
import { checkContainerId, checkInterfaceName, checkNetworkName } from "./names.ts";
import type { AttachmentKey, CniCommand, CniPlugin, PluginCall } from "./plugin.ts";
import type { PluginRequest } from "./plugin-request.ts";
import type { CniResult } from "./result.ts";
import { parseResult, resultToJson } from "./result-wire.ts";
import { atLeast, unnamedVersion } from "./version.ts";

/** Asks another plugin, with the same request but for the command. */
export type Delegate = (type: string, request: PluginRequest) => Promise<JsonObject | undefined>;

const ownNetns = "/proc/thread-self/ns/net";

/** The oldest version in which a command exists. */
const since: Readonly<Record<CniCommand, string>> = {
  ADD: "0.1.0",
  DEL: "0.1.0",
  CHECK: "0.4.0",
  GC: "1.1.0",
  STATUS: "1.1.0",
};

/** `K=V;K=V` as a map; throws CNI code 4 for a pair without "=". */
export function parseArgs(text: string): ReadonlyMap<string, string> {
  const args = new Map<string, string>();
  for (const pair of text.split(";")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    if (equals < 1)
      throw new CniError(
        cniCodes.invalidEnvironment,
        `CNI_ARGS: ${JSON.stringify(pair.slice(0, 80))} is not KEY=VALUE`,
      );
    args.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  return args;
}

function checkVersions(plugin: CniPlugin, command: CniCommand, cniVersion: string): void {
  if (!plugin.versions.includes(cniVersion)) {
    throw new CniError(cniCodes.incompatibleVersion, `plugin ${plugin.name} does not speak CNI ${cniVersion}`, {
      details: `it speaks ${plugin.versions.join(", ")}`,
    });
  }
  if (!atLeast(cniVersion, since[command])) {
    throw new CniError(
      cniCodes.incompatibleVersion,
      `${command} exists since CNI ${since[command]}, and the configuration is of ${cniVersion}`,
    );
  }
}

/**
 * The attachments that live; undefined where the caller does not say. The specification's text and its library disagree about the key; libcni
 * sends both, with `null` for none.
 */
function validAttachments(stdin: JsonObject): readonly AttachmentKey[] | undefined {
  const key = ["cni.dev/valid-attachments", "cni.dev/attachments"].find((each) => Object.hasOwn(stdin, each));
  if (key === undefined) return undefined;
  return new Fields(stdin, "GC").objects(key).map((object) => {
    const item = new Fields(object, "valid attachment");
    return { containerId: item.string("containerID", ""), ifname: item.string("ifname", "") };
  });
}

/**
 * Runs one call of `plugin` in this process, with every check that the specification asks of a plugin. The result is the JSON
 * that an executable would print, in the configuration's version; nothing for commands other than ADD. A stop of the whole
 * process between any two steps must be harmless: that is the plugins' duty.
 */
export async function runPlugin(
  plugin: CniPlugin,
  request: PluginRequest,
  delegate: Delegate,
): Promise<JsonObject | undefined> {
  const { command, containerId, ifname, netns, stdin, signal } = request;
  const fields = new Fields(stdin, `${plugin.name} configuration`);
  const network = fields.string("name", "");
  checkNetworkName(network);
  const cniVersion = fields.string("cniVersion", "") === "" ? unnamedVersion : fields.string("cniVersion", "");
  checkVersions(plugin, command, cniVersion);
  if (command === "ADD" || command === "CHECK" || command === "DEL") {
    checkContainerId(containerId);
    checkInterfaceName(ifname);
  }
  if ((command === "ADD" || command === "CHECK") && !isNetns(netns)) {
    const shown = netns.slice(0, 200);
    throw new CniError(
      cniCodes.invalidNetns,
      `network namespace ${shown} does not exist, or is none; start the container afresh`,
    );
  }
  if (command === "ADD" && request.netnsOverride !== true && namespaceIdentity(netns) === namespaceIdentity(ownNetns)) {
    throw new CniError(
      cniCodes.invalidNetns,
      `network namespace ${netns} is the plugin's own; give the container one of its own`,
    );
  }
  signal.throwIfAborted();
  const valid = command === "GC" ? validAttachments(stdin) : [];
  // cnitool gc says nothing of attachments: to take them for none would be to take everything away from everyone.
  if (valid === undefined) return undefined;
  const call: PluginCall = {
    command,
    containerId,
    netns: command === "DEL" && netns !== "" && !isNetns(netns) ? "" : netns,
    ifname,
    args: parseArgs(request.args),
    network,
    cniVersion,
    config: stdin,
    ...(fields.has("prevResult") ? { prevResult: parseResult(fields.objectAt("prevResult"), cniVersion) } : {}),
    validAttachments: valid ?? [],
    signal,
    async delegate(type, wanted, config = stdin): Promise<CniResult> {
      return parseResult(await delegate(type, { ...request, command: wanted, stdin: config }), cniVersion);
    },
  };
  switch (command) {
    case "ADD":
      return resultToJson(await plugin.add(call), cniVersion);
    case "DEL":
      await plugin.del(call);
      break;
    case "CHECK":
      await plugin.check(call);
      break;
    case "GC":
      await plugin.gc(call);
      break;
    case "STATUS":
      await plugin.status(call);
      break;
  }
  return undefined;
}
