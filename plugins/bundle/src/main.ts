import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { runPluginMain } from "@tripod/cni/sdk";
import { exitAtOnce } from "@tripod/linux";
import { ownPlugins } from "./plugins.ts";

// The entry of the one bundle behind every installed executable.
const [, path = "", ...words] = process.argv;
if (basename(path) === "dhcp" && words[0] === "daemon") {
  void import("@tripod/plugin-dhcp/daemon").then(async ({ runDhcpDaemon }) => {
    process.exitCode = await runDhcpDaemon(words.slice(1));
  });
} else {
  // The launcher's own work at the exit comes first.
  process.on("exit", exitAtOnce);
  void runPluginMain([...ownPlugins.values()], () => readFileSync(0, "utf8"));
}
