import { existsSync } from "node:fs";
import { TripodError } from "@tripod/base";
import { Command } from "commander";
import { columns, shortId } from "./human.ts";
import { printJson, type StoreOptions, withImages } from "./with-images.ts";

export function mountCommand(): Command {
  return new Command("mount")
    .argument("[image]", "name or id; without one, what is mounted is listed")
    .argument("[folder]", "an empty folder, made when absent; one of the instance's own unless given")
    .description("Mount an image's files read-only, and print where; it stays until unmount, tripod down or a reboot")
    .option("--root <dir>", "the instance's folder")
    .option("--json", "print the mount, or the mounts, as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  ls $(tripod image mount busybox)\n  tripod image mount web:1 /mnt/web\n  tripod image mount\n\nWhile it is mounted its files stay, also when the image is removed.",
    )
    .action((name: string | undefined, folder: string | undefined, options: StoreOptions) =>
      withImages(options, async (images) => {
        if (name !== undefined) {
          const mount = await images.mount(name, { target: folder });
          if (options.json) printJson(mount);
          else process.stdout.write(`${mount.target}\n`);
          return;
        }
        const list = images.mounts().map((mount) => ({ ...mount, names: images.get(mount.imageId)?.repoTags ?? [] }));
        if (options.json) {
          printJson(list);
          return;
        }
        const rows = list.map(({ target, imageId, names }) => [target, shortId(imageId), names.join(" ") || "<none>"]);
        process.stdout.write(`${columns([["FOLDER", "ID", "IMAGE"], ...rows])}\n`);
      }),
    );
}

interface UnmountFlags extends StoreOptions {
  readonly all?: true;
  readonly force?: true;
}

export function unmountCommand(): Command {
  return new Command("unmount")
    .alias("umount")
    .argument("[mounts...]", "folders, or names or ids of images")
    .description("Take images off that `tripod image mount` mounted")
    .option("--root <dir>", "the instance's folder")
    .option("--all", "every one")
    .option("--force", "also while something works in them")
    .option("--json", "print the folders as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod image unmount busybox\n  tripod image unmount /mnt/web\n  tripod image unmount --all",
    )
    .action((which: string[], options: UnmountFlags) =>
      withImages(options, async (images) => {
        if (which.length === 0 && !options.all)
          throw new TripodError("invalid", "image unmount: give folders or images, or --all");
        const detach = options.force === true;
        const done = options.all ? images.unmount({ detach }) : [];
        for (const each of options.all ? [] : which) {
          // A path is known by its slash, or by being there.
          const isFolder = each.startsWith("/") || each.startsWith(".") || existsSync(each);
          const imageId = isFolder ? undefined : images.get(each)?.id;
          const found = isFolder
            ? images.unmount({ target: each, detach })
            : imageId === undefined
              ? []
              : images.unmount({ imageId, detach });
          if (found.length === 0)
            throw new TripodError(
              "not-found",
              `image unmount: nothing of ${each} is mounted; tripod image mount lists what is`,
            );
          done.push(...found);
        }
        if (options.json) printJson(done);
        else for (const folder of done) process.stdout.write(`${folder}\n`);
      }),
    );
}
