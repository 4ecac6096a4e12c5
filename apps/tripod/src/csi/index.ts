import { Command } from "commander";
import { infoCommand } from "./info-command.ts";
import { nodeCommands } from "./node-commands.ts";
import { proxyCommand } from "./proxy-command.ts";
import { registerCommand } from "./register-command.ts";
import { serveCommand } from "./serve-command.ts";
import { groupSnapshotCommand, metadataCommand, snapshotCommand } from "./snapshot-commands.ts";
import { volumeCommands } from "./volume-commands.ts";

/** `tripod csi`: the Container Storage Interface by hand. */
export function csiCommand(): Command {
  const csi = new Command("csi").description("Serve a CSI driver, and call any driver by hand");
  for (const command of [
    serveCommand(),
    registerCommand(),
    proxyCommand(),
    infoCommand(),
    ...volumeCommands(),
    ...nodeCommands(),
    snapshotCommand(),
    groupSnapshotCommand(),
    metadataCommand(),
  ])
    csi.addCommand(command);
  return csi.addHelpText(
    "after",
    "\nExamples:\n  tripod csi serve hostpath --endpoint unix:///run/hostpath.sock --node-id $(hostname) --state /var/lib/hostpath\n  export CSI_ENDPOINT=unix:///run/hostpath.sock\n  tripod csi info\n  tripod csi create data --size 1Gi && tripod csi list",
  );
}
