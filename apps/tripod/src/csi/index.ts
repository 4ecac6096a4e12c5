import { Command } from "commander";
import { registerCommand } from "./register-command.ts";
import { serveCommand } from "./serve-command.ts";

/** `tripod csi`: the Container Storage Interface by hand. */
export function csiCommand(): Command {
  return new Command("csi")
    .description("Serve a CSI driver")
    .addCommand(serveCommand())
    .addCommand(registerCommand())
    .addHelpText(
      "after",
      "\nExample:\n  tripod csi serve hostpath --endpoint unix:///run/hostpath.sock --node-id $(hostname) --state /var/lib/hostpath",
    );
}
