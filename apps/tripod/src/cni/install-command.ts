import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "@tripod/base";
import { defaultConflist, listConfDir } from "@tripod/cni";
import { installPlugins } from "@tripod/plugin-bundle";
import { Command } from "commander";
import { type CniOptions, foldersOf, print, printJson, withCniOptions } from "./cni-options.ts";

interface InstallOptions extends CniOptions {
  readonly force?: true;
  readonly subnet: string;
}

async function install(options: InstallOptions): Promise<void> {
  const { layout, confDir, binDirs } = foldersOf(options);
  const binDir = binDirs[0] ?? layout.cniBinDir;
  const { installed, kept } = await installPlugins(binDir, { force: options.force === true });
  let conflist: string | undefined;
  if (options.confDir !== undefined && (await listConfDir(confDir)).length === 0) {
    conflist = join(confDir, "99-tripod.conflist");
    await mkdir(confDir, { recursive: true });
    const { bridge, cniDataDir: dataDir } = layout;
    await writeFileAtomic(
      conflist,
      `${JSON.stringify(defaultConflist({ bridge, subnet: options.subnet, dataDir, bandwidth: true }), undefined, 2)}\n`,
    );
  }
  if (options.json) return printJson({ installed, kept, ...(conflist === undefined ? {} : { conflist }) });
  for (const path of installed) print(`installed  ${path}`);
  for (const path of kept) print(`kept       ${path}  (not Tripod's; --force replaces it)`);
  if (conflist !== undefined) print(`written    ${conflist}`);
}

/** `tripod cni install`. */
export function installCommand(): Command {
  return withCniOptions(new Command("install"))
    .description(
      "Install the plugins as executables for any runtime; with --conf-dir also a network, if that folder has none",
    )
    .option("--force", "replace executables of the same names that are not Tripod's")
    .option("--subnet <cidr>", "the addresses of the network that --conf-dir gets", "10.88.0.0/16")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod cni install                       into /opt/cni/bin\n  tripod cni install --bin-dir /usr/libexec/cni --conf-dir /etc/cni/net.d",
    )
    .action((options: InstallOptions) => install(options));
}
