import { isTripodError, messageOf } from "@tripod/base";
import { Fields, isJsonObject, type JsonObject } from "./json.ts";
import { JsonFile, type JsonPath } from "./json-file.ts";
import { checkNetworkName } from "./names.ts";
import { currentVersion, newestSupported, supportedVersions, unnamedVersion } from "./version.ts";

/** One plugin of a chain, as its configuration spells it. */
export interface PluginConfig {
  /** The executable's name. */
  readonly type: string;
  /** The capabilities that the configuration declares true. */
  readonly capabilities: ReadonlySet<string>;
  readonly config: JsonObject;
}

/** A network: a name, the version to speak, a chain of plugins. */
export interface NetworkConfig {
  readonly name: string;
  readonly cniVersion: string;
  readonly disableCheck: boolean;
  readonly disableGC: boolean;
  readonly loadOnlyInlinedPlugins: boolean;
  readonly plugins: readonly PluginConfig[];
  /** Where it was read. */
  readonly file: string;
}

/** Runs `read`, putting file and line in front of what it throws. */
function at<T>(document: JsonFile, path: JsonPath, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (isTripodError(error)) throw document.problem(path, messageOf(error));
    throw error;
  }
}

function parsePlugin(document: JsonFile, path: JsonPath, value: unknown): PluginConfig {
  if (!isJsonObject(value)) throw document.problem(path, "a plugin is not a JSON object");
  const fields = new Fields(value, "plugin");
  const type = at(document, [...path, "type"], () => fields.string("type", ""));
  if (type === "") throw document.problem(path, 'plugin without "type"; name the executable, such as "bridge"');
  if (type.includes("/") || type === "." || type === "..")
    throw document.problem(
      [...path, "type"],
      `plugin type ${JSON.stringify(type)} is a path; name an executable in a plugin folder`,
    );
  const declared = new Fields(
    at(document, [...path, "capabilities"], () => fields.objectAt("capabilities")),
    "capabilities",
  );
  const capabilities = new Set(
    Object.keys(declared.object).filter((key) =>
      at(document, [...path, "capabilities", key], () => declared.boolean(key, false)),
    ),
  );
  for (const key of ["ipam", "dns", "args"]) at(document, [...path, key], () => fields.objectAt(key));
  return { type, capabilities, config: value };
}

function parseVersion(document: JsonFile, fields: Fields): string {
  const named = at(document, ["cniVersion"], () => fields.string("cniVersion", ""));
  const list = at(document, ["cniVersions"], () => fields.strings("cniVersions"));
  const best = newestSupported(named === "" ? list : [...list, named]);
  if (best !== undefined) return best;
  if (named === "" && list.length === 0) return unnamedVersion;
  const path = named === "" ? ["cniVersions"] : ["cniVersion"];
  throw document.problem(
    path,
    `no version here is one that Tripod speaks (${supportedVersions.join(", ")}); use ${currentVersion}`,
  );
}

/** A configuration list (.conflist) or, upconverted to one, a lone plugin (.conf). Throws "invalid" as FILE:LINE:COLUMN: why. */
export function parseNetworkConfig(file: string, text: string): NetworkConfig {
  const document = JsonFile.parse(file, text);
  if (!isJsonObject(document.value)) throw document.problem([], "a network configuration is not a JSON object");
  const fields = new Fields(document.value, "network");
  const name = at(document, ["name"], () => fields.string("name", ""));
  if (name === "") throw document.problem([], 'network without "name"');
  at(document, ["name"], () => checkNetworkName(name));
  const flag = (key: string): boolean => at(document, [key], () => fields.boolean(key, false));
  const single = fields.has("type") && !fields.has("plugins");
  const plugins = single
    ? [parsePlugin(document, [], document.value)]
    : at(document, ["plugins"], () => fields.list("plugins")).map((value, index) =>
        parsePlugin(document, ["plugins", index], value),
      );
  if (fields.has("plugins") && plugins.length === 0)
    throw document.problem(["plugins"], "the list of plugins is empty");
  const loadOnlyInlinedPlugins = single || flag("loadOnlyInlinedPlugins");
  if (plugins.length === 0 && loadOnlyInlinedPlugins)
    throw document.problem(["loadOnlyInlinedPlugins"], 'only inlined plugins are wanted, and there is no "plugins"');
  return {
    name,
    cniVersion: parseVersion(document, fields),
    disableCheck: flag("disableCheck"),
    disableGC: flag("disableGC"),
    loadOnlyInlinedPlugins,
    plugins,
    file,
  };
}

/** A plugin in a file of its own (`<confdir>/<network>/*.conf`). */
export function parsePluginConfig(file: string, text: string): PluginConfig {
  const document = JsonFile.parse(file, text);
  return parsePlugin(document, [], document.value);
}

/** The configuration list as JSON, complete: what a result cache keeps, and what parseNetworkConfig takes back. */
export const networkConfigToJson = (network: NetworkConfig): JsonObject => ({
  cniVersion: network.cniVersion,
  name: network.name,
  disableCheck: network.disableCheck,
  disableGC: network.disableGC,
  loadOnlyInlinedPlugins: true,
  plugins: network.plugins.map((plugin) => plugin.config),
});
