import { Command } from "commander";

/** Tripod's own version, and those of the interfaces that it speaks. */
export const versions = {
  tripod: "0.1.0",
  cri: "v1 (cri-api 0.37)",
  cni: "1.1.0",
  csi: "1.13.0",
  kubernetes: "v1.33",
  node: process.version,
} as const;

/** `tripod version`. */
export function versionCommand(): Command {
  return new Command("version")
    .description("Print the versions of Tripod and of what it speaks")
    .option("--json", "as JSON")
    .addHelpText("after", "\nExample:\n  tripod version --json | jq -r .tripod")
    .action((options: { json?: true }) => {
      const text = options.json
        ? JSON.stringify(versions)
        : Object.entries(versions)
            .map(([name, version]) => `${name.padEnd(12)}${version}`)
            .join("\n");
      process.stdout.write(`${text}\n`);
    });
}
