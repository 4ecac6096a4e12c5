import { TripodError } from "@tripod/base";
import { isJsonObject, type JsonObject, networkConfigToJson, PluginInvoker, readConfDir } from "@tripod/cni";
import { ownPlugins } from "@tripod/plugin-bundle";
import { Command } from "commander";
import { type CniOptions, foldersOf, print, printJson, withCniOptions } from "./cni-options.ts";
import { type KeyManual, pluginManual } from "./plugin-manual.ts";

const plain = (markdown: string): string => markdown.replaceAll("`", "");

const keyLine = ({ keys, place, what, fallback }: KeyManual): string => {
  const where = place.startsWith("key") ? place.slice("key".length).trim() : place;
  const title = `${keys.join(", ")}${where === "" ? "" : ` (${plain(where)})`}`;
  const otherwise =
    fallback === undefined || fallback === "none"
      ? ""
      : fallback === "required"
        ? "; required"
        : `; ${plain(fallback)} unless told`;
  return `  ${title.padEnd(24)}  ${plain(what)}${otherwise}`;
};

const textOf = (object: JsonObject, key: string): string => {
  const value = object[key];
  return typeof value === "string" ? value : "";
};

const objectOf = (object: JsonObject, key: string): JsonObject => {
  const value = object[key] ?? null;
  return isJsonObject(value) ? value : {};
};

/** What one plugin of the chain is told, with the meaning of each key. */
function explainObject(object: JsonObject, depth: number): readonly string[] {
  const margin = "  ".repeat(depth);
  const type = textOf(object, "type");
  if (!ownPlugins.has(type)) return [`${margin}  what its keys mean, its own documentation says`];
  const manual = pluginManual(type);
  const lines = [`${margin}  ${plain(manual.summary)}`];
  for (const [key, value] of Object.entries(object)) {
    if (key === "type" || key === "ipam" || key === "capabilities") continue;
    const known = manual.keys.find(({ keys }) => keys.some((each) => each.toLowerCase() === key.toLowerCase()));
    lines.push(`${margin}  ${key} = ${JSON.stringify(value)}${known === undefined ? "" : `  ${plain(known.what)}`}`);
  }
  for (const capability of Object.keys(objectOf(object, "capabilities")))
    lines.push(`${margin}  is handed ${capability} of each container, where the runtime has it`);
  return lines;
}

/** The chain of the network that the folder configures, in words. */
async function explainNetwork(options: CniOptions): Promise<readonly string[]> {
  const { confDir, binDirs } = foldersOf(options);
  const network = networkConfigToJson(await readConfDir(confDir));
  const invoker = new PluginInvoker({ binDirs, plugins: ownPlugins });
  const place = (type: string): string => {
    const located = invoker.locate(type);
    return located.kind === "in-process" ? "in process" : located.file;
  };
  const lines = [`network ${textOf(network, "name")}, CNI ${textOf(network, "cniVersion")}, of ${confDir}`];
  const plugins = Array.isArray(network.plugins) ? network.plugins.filter(isJsonObject) : [];
  for (const [number, plugin] of plugins.entries()) {
    const type = textOf(plugin, "type");
    lines.push(`${number + 1}. ${type}  (${place(type)})`, ...explainObject(plugin, 1));
    const ipam = objectOf(plugin, "ipam");
    const ipamType = textOf(ipam, "type");
    if (ipamType !== "") lines.push(`   addresses by ${ipamType}  (${place(ipamType)})`, ...explainObject(ipam, 2));
  }
  return lines;
}

/** `tripod cni explain`. */
export function explainCommand(): Command {
  return withCniOptions(new Command("explain"))
    .argument("[plugin]", "a plugin, or one of its keys: PLUGIN.KEY; the configured network unless given")
    .description("Say what a plugin does and what its keys mean, or what the configured network does")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod cni explain\n  tripod cni explain bridge\n  tripod cni explain bridge.hairpinMode",
    )
    .action(async (topic: string | undefined, options: CniOptions) => {
      if (topic === undefined) return print((await explainNetwork(options)).join("\n"));
      const [name = "", key] = topic.split(/\.(.*)/s);
      const manual = pluginManual(name);
      const keys = manual.keys.filter(
        ({ keys: named }) => key === undefined || named.some((each) => each.toLowerCase() === key.toLowerCase()),
      );
      if (keys.length === 0 && key !== undefined)
        throw new TripodError(
          "not-found",
          `explain ${topic}: ${name} has no such key; it has ${manual.keys.flatMap(({ keys: named }) => named).join(", ")}`,
        );
      if (options.json) return printJson({ ...manual, keys });
      print([`${name}: ${plain(manual.summary)}`, ...keys.map(keyLine)].join("\n"));
    });
}
