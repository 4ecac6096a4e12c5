import { Command } from "commander";
import { serveCommand } from "./serve-command.ts";

/** `tripod csi`: the Container Storage Interface by hand. */
export function csiCommand(): Command {
  return new Command("csi").description("Serve a CSI driver").addCommand(serveCommand());
}
