import { constants } from "node:os";
import { isNodeError, isTripodError, messageOf } from "@tripod/base";
import { Command, CommanderError } from "commander";
import { commands } from "./commands.ts";
import { versions } from "./version.ts";

/** The words of the command that commander refused: "csi create". */
let refused = "";

/** Has the command and those below it throw where commander would end the process. */
function throwing(command: Command, path = command.name()): Command {
  for (const each of command.commands) throwing(each, `${path} ${each.name()}`);
  return command.exitOverride((error) => {
    refused = path;
    throw error;
  });
}

/** Builds the command line. Only the command that was asked for is loaded: the others cost nothing at start-up. */
async function program(wanted: string | undefined): Promise<Command> {
  const root = new Command("tripod")
    .description(
      "A complete Kubernetes node: CNI, CRI and CSI as the real wire protocols, and an embedded control plane",
    )
    .helpCommand(false)
    .version(versions.tripod, "-V, --version", "print Tripod's own version")
    .exitOverride()
    .addHelpText(
      "after",
      "\nExamples:\n  tripod up --root /tmp/node        bring up a node; kubectl uses /tmp/node/kubeconfig\n  tripod trace pod web --root /tmp/node\n  tripod down --root /tmp/node",
    );
  for (const [name, { summary, load }] of Object.entries(commands)) {
    if (name === wanted || wanted === "completion") root.addCommand(throwing(await load()));
    else root.command(name).description(summary);
  }
  return root;
}

// Who reads our output may go when it has enough, as head does: we end as with SIGPIPE.
for (const stream of [process.stdout, process.stderr])
  stream.on("error", (error) => {
    if (isNodeError(error, "EPIPE")) process.exit(128 + constants.signals.SIGPIPE);
    if (stream === process.stdout) process.stderr.write(`tripod: print: ${messageOf(error)}\n`);
    process.exit(1);
  });

const args = process.argv.slice(2);
const wanted = args.find((arg) => !arg.startsWith("-"));
try {
  await (await program(wanted)).parseAsync(args, { from: "user" });
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode;
    const isMistake = error.exitCode !== 0 && error.code !== "commander.help";
    if (isMistake) process.stderr.write(`see tripod ${refused === "" ? "" : `${refused} `}--help\n`);
  } else {
    process.stderr.write(`tripod: ${messageOf(error)}\n`);
    process.exitCode = isTripodError(error, "cancelled") ? 130 : 1; // as a shell says it of Ctrl-C
  }
}
