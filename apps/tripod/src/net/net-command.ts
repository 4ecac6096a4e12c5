import { TripodError } from "@tripod/base";
import { networkView } from "@tripod/cni";
import { Command } from "commander";
import { type CniOptions, openRuntime, print, printJson, withCniOptions } from "../cni/cni-options.ts";
import { networkDot, networkText } from "./draw-network.ts";

interface ShowOptions extends CniOptions {
  readonly dot?: true;
}

/** `tripod net`: the node's container network as the kernel has it. */
export function netCommand(): Command {
  const show = withCniOptions(new Command("show"))
    .description(
      "Show interfaces, addresses and routes of the host and of each attachment, and the rules that serve them",
    )
    .option("--dot", "as a graph for Graphviz")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod net show\n  tripod net show --json | jq '.attachments[].pod'\n  tripod net show --dot | dot -Tsvg > network.svg",
    )
    .action(async (options: ShowOptions) => {
      if (options.dot && options.json) throw new TripodError("invalid", "net show: --dot or --json, not both");
      await using runtime = await openRuntime(options);
      const view = networkView(await runtime.attachments());
      if (options.json) printJson(view);
      else print(options.dot ? networkDot(view) : networkText(view));
    });
  return new Command("net").description("Look at the node's container network").addCommand(show);
}
