import { TripodError } from "@tripod/base";
import { listConfDir } from "@tripod/cni";
import { Command } from "commander";
import {
  type CniOptions,
  foldersOf,
  openRuntime,
  print,
  printJson,
  withCallOptions,
  withCniOptions,
} from "./cni-options.ts";

interface GcOptions extends CniOptions {
  readonly keep?: readonly string[];
  readonly none?: true;
}

/** `CONTAINER` or `CONTAINER/IFNAME`. */
function parseKey(word: string): { containerId: string; ifname: string } {
  const [containerId = "", ifname = "eth0"] = word.split("/");
  return { containerId, ifname };
}

function gcCommand(): Command {
  return withCallOptions(new Command("gc"))
    .description("Give back everything of the network that belongs to no attachment which is to stay")
    .option("--keep <attachments...>", "attachments that stay: CONTAINER or CONTAINER/IFNAME")
    .option("--none", "nothing stays")
    .addHelpText("after", "\nExamples:\n  tripod cni gc --keep blue web/eth1\n  tripod cni gc --none")
    .action(async (options: GcOptions) => {
      if ((options.keep === undefined) === (options.none === undefined))
        throw new TripodError("invalid", "tripod cni gc: say what stays with --keep, or that nothing does with --none");
      await using runtime = await openRuntime(options);
      await runtime.gc({ validAttachments: (options.keep ?? []).map(parseKey) });
      if (options.json) printJson({});
    });
}

function statusCommand(): Command {
  return withCallOptions(new Command("status"))
    .description("Say whether containers can be attached, and if not, why; exits with 1 then")
    .addHelpText("after", "\nExample:\n  tripod cni status --conf-dir /etc/cni/net.d")
    .action(async (options: CniOptions) => {
      await using runtime = await openRuntime(options);
      const status = await runtime.pluginStatus();
      if (!status.ready) process.exitCode = 1;
      const answer = status.ready
        ? { ready: true, network: status.network.name, file: status.network.file }
        : { ready: false, reason: status.reason };
      if (options.json) printJson(answer);
      else print(status.ready ? `network ${status.network.name} is ready (${status.network.file})` : status.reason);
    });
}

function versionCommand(): Command {
  return withCniOptions(new Command("version"))
    .description("Ask each plugin of the network for the versions of the specification that it speaks")
    .addHelpText("after", "\nExample:\n  tripod cni version --json")
    .action(async (options: CniOptions) => {
      await using runtime = await openRuntime(options);
      const plugins = await runtime.versions();
      if (plugins.some(({ error }) => error !== undefined)) process.exitCode = 1;
      if (options.json) printJson(plugins);
      else
        print(
          plugins
            .map(({ type, versions, error }) => `${type.padEnd(12)} ${error ?? versions?.join(" ") ?? ""}`)
            .join("\n"),
        );
    });
}

function listCommand(): Command {
  return withCniOptions(new Command("list"))
    .description(
      "List the configured networks (the first counts, and a wrong one says where) and the attachments on record",
    )
    .addHelpText("after", "\nExample:\n  tripod cni list --json | jq .attachments")
    .action(async (options: CniOptions) => {
      await using runtime = await openRuntime(options);
      const files = await listConfDir(foldersOf(options).confDir);
      const networks = files.map(({ file, network, error }) =>
        network === undefined
          ? { file, error }
          : {
              file,
              network: network.name,
              cniVersion: network.cniVersion,
              plugins: network.plugins.map(({ type }) => type),
            },
      );
      const attachments = (await runtime.attachments()).map(({ containerId, ifname, network, netns, result }) => ({
        containerId,
        ifname,
        network: network.name,
        netns,
        ips: result?.ips.map(({ address }) => address) ?? [],
        complete: result !== undefined,
      }));
      if (options.json) return printJson({ networks, attachments });
      for (const { file, network, error } of files) {
        const chain = network?.plugins.map(({ type }) => type).join(" > ");
        print(
          network === undefined ? (error ?? file) : `${network.name}  CNI ${network.cniVersion}  ${chain}  (${file})`,
        );
      }
      for (const { containerId, ifname, network, ips, complete } of attachments)
        print(
          `  ${containerId}  ${ifname}  ${network}  ${complete ? ips.join(" ") : "ADD was cut off: run tripod cni del"}`,
        );
    });
}

/** `tripod cni gc|status|version|list`. */
export const networkCommands = (): readonly Command[] => [
  gcCommand(),
  statusCommand(),
  versionCommand(),
  listCommand(),
];
