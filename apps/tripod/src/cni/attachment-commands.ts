import type { Attachment, CniResult } from "@tripod/cni";
import { ownPlugins } from "@tripod/plugin-bundle";
import { Command } from "commander";
import {
  type CniOptions,
  openRuntime,
  parseCapabilities,
  parsePairs,
  print,
  printJson,
  withCallOptions,
} from "./cni-options.ts";
import { dryRun, enterPrivateMounts } from "./dry-run/dry-run.ts";
import { dryRunText } from "./dry-run/show-dry-run.ts";

interface AttachmentOptions extends CniOptions {
  readonly netns?: string;
  readonly ifname: string;
  readonly args?: readonly string[];
  readonly capabilityArgs?: string;
  readonly dryRun?: true;
}

function attachmentOf(containerId: string, options: AttachmentOptions): Attachment {
  const args = parsePairs(options.args);
  const capabilityArgs = parseCapabilities(options.capabilityArgs);
  return {
    containerId,
    ifname: options.ifname,
    ...(options.netns === undefined ? {} : { netns: options.netns }),
    ...(args === undefined ? {} : { args }),
    ...(capabilityArgs === undefined ? {} : { capabilityArgs }),
  };
}

const withAttachmentOptions = (command: Command): Command =>
  withCallOptions(command)
    .argument("<container>", "the container's id")
    .option("--ifname <name>", "the interface in the container", "eth0")
    .option("--args <pairs...>", "CNI_ARGS as KEY=VALUE")
    .option("--capability-args <json>", "arguments by capability, as a JSON object");

const withDryRun = (command: Command): Command =>
  command.option("--dry-run", "run in a copy of the network and print what would change");

/** Prints what `command` would change, and changes nothing. */
async function rehearse(command: "add" | "del", container: string, options: AttachmentOptions): Promise<void> {
  enterPrivateMounts();
  await using runtime = await openRuntime(options);
  const { netns, ifname, args = [], capabilityArgs } = options;
  const words = [
    command,
    container,
    "--ifname",
    ifname,
    ...(args.length === 0 ? [] : ["--args", ...args]),
    ...(capabilityArgs === undefined ? [] : ["--capability-args", capabilityArgs]),
  ];
  const plan = await dryRun(runtime, { words, netns, options, own: new Set(ownPlugins.keys()) });
  if (options.json) printJson(plan);
  else print(dryRunText(plan, netns));
}

function render(result: CniResult): string {
  const ips = result.ips.map(
    ({ address, gateway }) => `address  ${address}${gateway === undefined ? "" : `  gateway ${gateway}`}`,
  );
  const routes = result.routes.map(({ dst, gw }) => `route    ${dst}${gw === undefined ? "" : `  via ${gw}`}`);
  const links = result.interfaces.map(
    ({ name, mac = "", sandbox = "" }) =>
      `link     ${name}  ${mac}  ${sandbox === "" ? "on the host" : `in ${sandbox}`}`,
  );
  return [...ips, ...routes, ...links].join("\n");
}

/** `tripod cni add|del|check`. */
export function attachmentCommands(): readonly Command[] {
  const add = withDryRun(withAttachmentOptions(new Command("add")))
    .description("Attach a container's network namespace to the configured network")
    .requiredOption("--netns <path>", "the network namespace")
    .addHelpText(
      "after",
      `
Examples:
  ip netns add blue
  tripod cni add blue --netns /run/netns/blue --dry-run
  tripod cni add blue --netns /run/netns/blue --trace
  tripod cni add web --netns /run/netns/web \\
    --capability-args '{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}'`,
    )
    .action(async (container: string, options: AttachmentOptions) => {
      if (options.dryRun === true) return rehearse("add", container, options);
      await using runtime = await openRuntime(options);
      const result = await runtime.add(attachmentOf(container, options));
      if (options.json) printJson(result);
      else print(render(result));
    });
  const del = withDryRun(withAttachmentOptions(new Command("del")))
    .description("Detach a container; succeeds also when it is not attached, or its namespace is gone")
    .option("--netns <path>", "the network namespace, where it still exists")
    .addHelpText("after", "\nExample:\n  tripod cni del blue --netns /run/netns/blue")
    .action(async (container: string, options: AttachmentOptions) => {
      if (options.dryRun === true) return rehearse("del", container, options);
      await using runtime = await openRuntime(options);
      await runtime.del(attachmentOf(container, options));
      if (options.json) printJson({});
    });
  const check = withAttachmentOptions(new Command("check"))
    .description("Check that an attachment is as it was made")
    .option("--netns <path>", "the network namespace, where it is not the one of the time of add")
    .addHelpText("after", "\nExample:\n  tripod cni check blue")
    .action(async (container: string, options: AttachmentOptions) => {
      await using runtime = await openRuntime(options);
      await runtime.check(attachmentOf(container, options));
      if (options.json) printJson({ ok: true });
      else print(`${options.ifname} of ${container} is as it was made`);
    });
  return [add, del, check];
}
