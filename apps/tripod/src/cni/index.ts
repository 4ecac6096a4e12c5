import { Command } from "commander";
import { attachmentCommands } from "./attachment-commands.ts";
import { explainCommand } from "./explain-command.ts";
import { installCommand } from "./install-command.ts";
import { lintCommand } from "./lint-command.ts";
import { networkCommands } from "./network-commands.ts";

/** `tripod cni`: the operations of the Container Network Interface by hand, and the installation of the plugins. */
export function cniCommand(): Command {
  const cni = new Command("cni")
    .description("Run CNI operations by hand, install the plugins")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod cni install --conf-dir /etc/cni/net.d\n  tripod cni add blue --netns /run/netns/blue\n  tripod cni status\n  tripod cni lint",
    );
  for (const command of [
    ...attachmentCommands(),
    ...networkCommands(),
    lintCommand(),
    explainCommand(),
    installCommand(),
  ])
    cni.addCommand(command);
  return cni;
}
