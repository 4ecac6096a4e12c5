import { TripodError } from "@tripod/base";
import { Command } from "commander";
import { columns, humanBytes, shortId } from "./human.ts";
import { printJson, type StoreOptions, withImages } from "./with-images.ts";

export function listCommand(): Command {
  return new Command("ls")
    .alias("list")
    .description("List the images that are here")
    .option("--root <dir>", "the instance's folder")
    .option("--digests", "show the registries' digests too")
    .option("-q, --quiet", "print ids alone")
    .option("--names", "print names alone")
    .option("--json", "print the images as JSON")
    .addHelpText("after", "\nExamples:\n  tripod image ls\n  tripod image ls --json --root /tmp/node")
    .action((options: StoreOptions & { readonly digests?: true; readonly quiet?: true; readonly names?: true }) =>
      withImages(options, async (images) => {
        const list = images.list();
        if (options.json) {
          printJson(list);
          return;
        }
        if (options.quiet || options.names) {
          const lines = list.flatMap((image) => (options.quiet ? [image.id] : image.repoTags));
          for (const line of lines) process.stdout.write(`${line}\n`);
          return;
        }
        const rows = list.flatMap((image) => {
          const names = options.digests ? [...image.repoTags, ...image.repoDigests] : image.repoTags;
          const shown = names.length > 0 ? names : (image.repoDigests.slice(0, 1) ?? []);
          return (shown.length > 0 ? shown : ["<none>"]).map((name) => [
            name,
            shortId(image.id),
            humanBytes(image.sizeBytes),
            `${image.config.os}/${image.config.architecture}`,
          ]);
        });
        process.stdout.write(
          `${columns([["IMAGE", "ID", "SIZE", "PLATFORM"], ...rows.toSorted(([a = ""], [b = ""]) => (a < b ? -1 : a > b ? 1 : 0))])}\n`,
        );
      }),
    );
}

export function removeCommand(): Command {
  return new Command("rm")
    .argument("[images...]", "names or ids; a tag alone goes when the image has others")
    .description("Remove images, and what nothing uses any more")
    .option("--root <dir>", "the instance's folder")
    .option("--all", "every image that is not pinned")
    .option("--json", "print what was removed as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod image rm web:1\n  tripod image rm 3f2a91c0 --root /tmp/node\n\nContainers that run, and what is mounted, keep their files.",
    )
    .action((names: string[], options: StoreOptions & { readonly all?: true }) =>
      withImages(options, async (images) => {
        if (names.length === 0 && !options.all)
          throw new TripodError("invalid", "image rm: give names or ids, or --all");
        const wanted = options.all ? images.list().flatMap((image) => (image.pinned ? [] : [image.id])) : names;
        const missing = wanted.filter((name) => images.get(name) === undefined);
        for (const name of wanted) {
          const image = images.get(name);
          if (image === undefined) continue;
          const byId = image.id.replace("sha256:", "").startsWith(name.replace("sha256:", ""));
          if (byId || name.includes("@")) await images.remove(image.id);
          else await images.untag(name);
          if (!options.json) process.stdout.write(`${name}\n`);
        }
        if (options.json) printJson(wanted.filter((name) => !missing.includes(name)));
        await images.collectGarbage();
        if (missing.length > 0)
          throw new TripodError(
            "not-found",
            `image rm: no image ${missing.join(", ")}; tripod image ls lists what there is`,
          );
      }),
    );
}

export function tagCommand(): Command {
  return new Command("tag")
    .argument("<image>", "name or id")
    .argument("<name>", "another name for it")
    .description("Give an image another name")
    .option("--root <dir>", "the instance's folder")
    .option("--json", "print the image as JSON")
    .addHelpText("after", "\nExamples:\n  tripod image tag web:1 registry.example.com/team/web:1")
    .action((image: string, name: string, options: StoreOptions) =>
      withImages(options, async (images) => {
        images.tag(image, name);
        if (options.json) printJson(images.get(name));
      }),
    );
}
