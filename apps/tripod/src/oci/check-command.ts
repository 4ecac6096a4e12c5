import { join } from "node:path";
import { Command } from "commander";
import { printJson } from "../image/with-images.ts";
import { bundleProblems } from "./read-bundle.ts";

export function checkCommand(): Command {
  return new Command("check")
    .argument("[bundle]", "a folder with config.json", ".")
    .description("Check a bundle against the runtime specification; exit code 1 when something is wrong")
    .option("--json", "print what is wrong as JSON")
    .addHelpText("after", "\nExamples:\n  tripod oci check /tmp/box\n  tripod oci check --json")
    .action((folder: string, options: { readonly json?: true }) => {
      const problems = bundleProblems(folder);
      if (options.json) printJson(problems);
      else if (problems.length === 0) process.stdout.write(`${join(folder, "config.json")} is right\n`);
      else process.stdout.write(`${problems.join("\n")}\n`);
      if (problems.length > 0) process.exitCode = 1;
    });
}
