import { layoutOf, randomHex } from "@tripod/base";
import { Command } from "commander";
import { loadConfig } from "../node/config.ts";
import { requireRoot } from "../node/node-process.ts";
import { HandContainers } from "./hand-containers.ts";
import { readBundle } from "./read-bundle.ts";
import { runAttached } from "./run-attached.ts";

interface RunOptions {
  readonly root?: string;
  readonly runtime: string;
  readonly id?: string;
  readonly detach?: true;
  readonly keep?: true;
}

async function run(folder: string, options: RunOptions): Promise<void> {
  requireRoot();
  const bundle = readBundle(folder);
  const layout = layoutOf(options.root);
  await using containers = new HandContainers(layout, loadConfig(layout).cri);
  const id = options.id ?? randomHex(8);
  const detach = options.detach === true;
  const abort = new AbortController();
  const cancel = (): void => abort.abort();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, cancel);
  const wanted = { id, handler: options.runtime, detach, signal: abort.signal };
  const container = await containers.create(bundle, wanted);
  for (const name of ["SIGINT", "SIGTERM"] as const) process.removeListener(name, cancel);
  try {
    if (detach) {
      await containers.runtimeOf(options.runtime).start(id, container.pid ?? 0);
      process.stdout.write(`${id}\n`);
      return;
    }
    process.exitCode = await runAttached(containers, container, { terminal: bundle.spec.process.terminal === true });
  } catch (error) {
    await containers.remove(id);
    throw error;
  }
  if (options.keep !== true) await containers.remove(id);
}

export function runCommand(): Command {
  return new Command("run")
    .argument("<bundle>", "a folder with config.json and a root file system")
    .description("Run the container of a bundle with a runtime handler; its exit code is this command's")
    .option("--runtime <handler>", "a handler of config.yaml: runc, crun, runsc, or your own", "runc")
    .option("--id <id>", "the container's id; random unless given")
    .option("-d, --detach", "print the id and leave the container running; its output goes to its log")
    .option("--keep", "do not remove the container when it has ended")
    .option("--root <dir>", "the instance's folder")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod oci spec --image busybox --unpack -b /tmp/box && tripod oci run /tmp/box\n  tripod oci run --runtime crun --id web -d /tmp/web\n  tripod oci ps",
    )
    .action((folder: string, options: RunOptions) => run(folder, options));
}
