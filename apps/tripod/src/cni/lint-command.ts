import { lintNetworks, PluginInvoker } from "@tripod/cni";
import { ownPlugins } from "@tripod/plugin-bundle";
import { Command } from "commander";
import { type CniOptions, foldersOf, print, printJson, withCniOptions } from "./cni-options.ts";

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? "" : "s"}`;

/** `tripod cni lint`. */
export function lintCommand(): Command {
  return withCniOptions(new Command("lint"))
    .argument("[path]", "a file, or a folder of network configurations; --conf-dir's unless given")
    .description("Find what is wrong in network configurations, with file, line and column; exits with 1 for an error")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod cni lint\n  tripod cni lint ./10-mynet.conflist\n  tripod cni lint --json | jq .findings\n\nKeys are known of Tripod's own plugins; of others, whether they are installed.",
    )
    .action(async (path: string | undefined, options: CniOptions) => {
      const { confDir, binDirs } = foldersOf(options);
      const invoker = new PluginInvoker({ binDirs, plugins: ownPlugins });
      const { files, findings } = await lintNetworks(path ?? confDir, invoker);
      const errors = findings.filter(({ severity }) => severity === "error").length;
      if (errors > 0) process.exitCode = 1;
      if (options.json) return printJson({ files, findings });
      for (const { severity, file, line, column, message } of findings)
        print(`${file}:${line}:${column}: ${severity}: ${message}`);
      const warnings = findings.length - errors;
      print(`${count(files.length, "file")}: ${count(errors, "error")}, ${count(warnings, "warning")}`);
    });
}
