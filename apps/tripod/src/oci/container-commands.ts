import { type Layout, layoutOf, TripodError } from "@tripod/base";
import { removeCgroup } from "@tripod/linux";
import { Command } from "commander";
import { columns } from "../image/human.ts";
import { printJson } from "../image/with-images.ts";
import { type Config, loadConfig } from "../node/config.ts";
import { requireRoot } from "../node/node-process.ts";
import { HandContainers } from "./hand-containers.ts";

interface Options {
  readonly root?: string;
  readonly json?: true;
  readonly all?: true;
}

async function withContainers(options: Options, work: (containers: HandContainers) => Promise<void> | void) {
  requireRoot();
  const layout = layoutOf(options.root);
  await using containers = new HandContainers(layout, loadConfig(layout).cri);
  await work(containers);
}

export function psCommand(): Command {
  return new Command("ps")
    .description("List the containers that tripod oci run has made")
    .option("--root <dir>", "the instance's folder")
    .option("--json", "print them as JSON")
    .addHelpText("after", "\nExample:\n  tripod oci ps --json")
    .action((options: Options) =>
      withContainers(options, (containers) => {
        const list = containers.list();
        if (options.json) {
          printJson(list);
          return;
        }
        const rows = list.map(({ id, state, exitCode, handler, pid, bundle }) => [
          id,
          exitCode === undefined ? state : `${state} (${exitCode})`,
          handler,
          state === "running" ? String(pid) : "",
          bundle,
        ]);
        process.stdout.write(`${columns([["ID", "STATE", "RUNTIME", "PID", "BUNDLE"], ...rows])}\n`);
      }),
    );
}

export function rmCommand(): Command {
  return new Command("rm")
    .argument("[ids...]")
    .description("Kill containers that tripod oci run has made, and remove all of them but their bundles")
    .option("--all", "every one")
    .option("--root <dir>", "the instance's folder")
    .addHelpText("after", "\nExamples:\n  tripod oci rm web\n  tripod oci rm --all")
    .action((ids: string[], options: Options) =>
      withContainers(options, async (containers) => {
        const known = containers.list().map(({ id }) => id);
        if (ids.length === 0 && !options.all) throw new TripodError("invalid", "oci rm: give ids, or --all");
        for (const id of options.all ? known : ids) {
          if (!known.includes(id))
            throw new TripodError("not-found", `oci rm: there is no container ${id}; tripod oci ps lists them`);
          await containers.remove(id);
        }
      }),
    );
}

/** Removes every one, and their cgroup; for `tripod down`. */
export async function removeHandContainers(layout: Layout, config: Config["cri"]): Promise<void> {
  await using containers = new HandContainers(layout, config);
  for (const { id } of containers.list()) await containers.remove(id);
  await removeCgroup(containers.cgroupParent);
}
