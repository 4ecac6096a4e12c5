import { Command } from "commander";
import { checkCommand } from "./check-command.ts";
import { psCommand, rmCommand } from "./container-commands.ts";
import { runCommand } from "./run-command.ts";
import { specCommand } from "./spec-command.ts";

/** `tripod oci`: bundles by hand, without images, Pods or networks. */
export function ociCommand(): Command {
  const oci = new Command("oci").description("Make, check and run OCI bundles by hand, with any runtime handler");
  for (const command of [specCommand(), checkCommand(), runCommand(), psCommand(), rmCommand()])
    oci.addCommand(command);
  return oci;
}
