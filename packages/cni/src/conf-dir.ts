import { open, readdir } from "node:fs/promises";
import { extname, join } from "node:path";
import { isNodeError, isTripodError, messageOf, TripodError } from "@tripod/base";
import { type NetworkConfig, parseNetworkConfig, parsePluginConfig } from "./network-config.ts";

/** No configuration file is longer; 1 MiB. */
const maxBytes = 1024 * 1024;

/** The files of a folder with one of the extensions, by name; none when there is no folder. */
export async function filesIn(dir: string, extensions: readonly string[]): Promise<string[]> {
  try {
    const entries = await readdir(dir, { withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory() && extensions.includes(extname(entry.name)))
      .map((entry) => join(dir, entry.name))
      .toSorted((a, b) => (a < b ? -1 : 1));
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return [];
    throw new TripodError("unavailable", `read ${dir}: ${messageOf(error)}`, { cause: error });
  }
}

/** A configuration file's text. Throws "invalid" for one that is too long. */
export async function readText(file: string): Promise<string> {
  try {
    await using handle = await open(file, "r");
    const { size } = await handle.stat();
    if (size > maxBytes)
      throw new TripodError("invalid", `${file}:1:1: ${size} bytes is too long for a network configuration`);
    return await handle.readFile("utf8");
  } catch (error) {
    if (isTripodError(error)) throw error;
    throw new TripodError("unavailable", `read ${file}: ${messageOf(error)}`, { cause: error });
  }
}

/** Reads one network with the plugins that stand in `<dir>/<name>/*.conf`, unless it wants inlined ones only. */
async function readNetwork(dir: string, file: string): Promise<NetworkConfig> {
  const network = parseNetworkConfig(file, await readText(file));
  if (network.loadOnlyInlinedPlugins) return network;
  const more = await Promise.all(
    (await filesIn(join(dir, network.name), [".conf"])).map(async (path) =>
      parsePluginConfig(path, await readText(path)),
    ),
  );
  const plugins = [...network.plugins, ...more];
  if (plugins.length === 0) {
    throw new TripodError(
      "invalid",
      `${file}:1:1: network ${network.name} has no plugins; list them here or in ${join(dir, network.name)}/*.conf`,
    );
  }
  return { ...network, plugins };
}

/**
 * The network that a folder names: the first file by name among .conflist, .conf and .json counts, and when it is wrong there is
 * no network (a later file never stands in for it unnoticed). Of a .conf and a .conflist for one network name the list wins.
 * Throws "invalid" with file and line, "not-found" for a folder without any file.
 */
export async function readConfDir(dir: string): Promise<NetworkConfig> {
  const files = await filesIn(dir, [".conf", ".conflist", ".json"]);
  const [first] = files;
  if (first === undefined) {
    throw new TripodError(
      "not-found",
      `no network configuration in ${dir}; put a .conflist there (tripod cni install --conf-dir ${dir} writes one)`,
    );
  }
  const network = await readNetwork(dir, first);
  if (extname(first) === ".conflist") return network;
  for (const file of files.filter((candidate) => extname(candidate) === ".conflist")) {
    try {
      const list = await readNetwork(dir, file);
      if (list.name === network.name) return list;
    } catch (error) {
      if (!isTripodError(error, "invalid")) throw error; // a broken later list is another network's trouble
    }
  }
  return network;
}

/** Every network of the folder, by name of its file, wrong ones as the error that says why. */
export async function listConfDir(
  dir: string,
): Promise<readonly { readonly file: string; readonly network?: NetworkConfig; readonly error?: string }[]> {
  return Promise.all(
    (await filesIn(dir, [".conf", ".conflist", ".json"])).map(async (file) => {
      try {
        return { file, network: await readNetwork(dir, file) };
      } catch (error) {
        return { file, error: messageOf(error) };
      }
    }),
  );
}
