import { Command } from "commander";
import { buildCommand } from "./build-command.ts";
import { diffCommand } from "./diff-command.ts";
import { convertCommand } from "./convert-command.ts";
import { historyCommand } from "./history-command.ts";
import { copyCommand } from "./copy-command.ts";
import { inspectCommand } from "./inspect-command.ts";
import { mountCommand, unmountCommand } from "./mount-commands.ts";
import { pruneCommand, usageCommand } from "./space-commands.ts";
import { pushCommand } from "./push-command.ts";
import { signCommand } from "./sign-command.ts";
import { listCommand, removeCommand, tagCommand } from "./store-commands.ts";
import { exportCommand, importCommand, pullCommand } from "./transfer-commands.ts";
import { verifyCommand } from "./verify-command.ts";

/** `tripod image`: works on the instance's store directly, whether or not a daemon runs. */
export function imageCommand(): Command {
  const image = new Command("image")
    .description("Pull, build, list, push and move images")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod image pull busybox\n  tripod image build ./rootfs -t tools:1\n  tripod image ls",
    );
  for (const command of [
    pullCommand(),
    listCommand(),
    removeCommand(),
    buildCommand(),
    convertCommand(),
    importCommand(),
    exportCommand(),
    pushCommand(),
    signCommand(),
    copyCommand(),
    tagCommand(),
    inspectCommand(),
    verifyCommand(),
    historyCommand(),
    diffCommand(),
    usageCommand(),
    pruneCommand(),
    mountCommand(),
    unmountCommand(),
  ]) {
    image.addCommand(command);
  }
  return image;
}
