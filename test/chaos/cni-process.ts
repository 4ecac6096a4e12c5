import { createInterface } from "node:readline";
import { messageOf, silentLogger } from "@tripod/base";
import { CniRuntime } from "@tripod/cni";
import { ownPlugins } from "@tripod/plugin-bundle";
import type { CniOrder, CniReply } from "./cni-rounds.ts";

// A runtime over FOLDER that carries out the orders on its standard input, all at once, until it is killed; its plugins run in this process, or
// as executables where the second argument is "executables".
const [folder = "", kind] = process.argv.slice(2);
const runtime = new CniRuntime({
  confDir: `${folder}/net.d`,
  binDirs: [`${folder}/bin`],
  cacheDir: `${folder}/cache`,
  ...(kind === "executables" ? {} : { plugins: ownPlugins }),
  log: silentLogger,
});
await runtime.load();
const reply = (line: CniReply): boolean => process.stdout.write(`${JSON.stringify(line)}\n`);

async function carryOut({ slot, command, containerId, netns, hostPort }: CniOrder): Promise<void> {
  const capabilityArgs = {
    portMappings: [{ hostPort, containerPort: 80, protocol: "tcp" }],
    bandwidth: { ingressRate: 8_000_000, ingressBurst: 800_000 },
  };
  try {
    if (command === "DEL") await runtime.del({ containerId, netns });
    const result = command === "ADD" ? await runtime.add({ containerId, netns, capabilityArgs }) : undefined;
    reply({ slot, addresses: result?.ips.map(({ address }) => address) ?? [] });
  } catch (error) {
    reply({ slot, addresses: [], error: messageOf(error) });
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  void carryOut(JSON.parse(line) as CniOrder); // cni-rounds.ts writes them; it answers for itself
}
