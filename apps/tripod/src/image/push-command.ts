import { TripodError } from "@tripod/base";
import { parseReference, repositoryOf } from "@tripod/oci";
import { Command } from "commander";
import { credentialsOf } from "./credentials.ts";
import { ProgressView } from "./progress.ts";
import { repeated } from "./repeated.ts";
import { printJson, type StoreOptions, withImages } from "./with-images.ts";

interface PushFlags extends StoreOptions {
  readonly creds?: string;
  readonly allTags?: true;
  readonly with?: string[];
}

export function pushCommand(): Command {
  return new Command("push")
    .argument("<image>", "name or id of an image here; with --all-tags a name without tag")
    .argument("[target]", "the name to push it to; its own unless given")
    .description("Send an image to a registry; layers that are there already are not sent")
    .option("--root <dir>", "the instance's folder")
    .option("--all-tags", "every tag that the name has here")
    .option("--with <image>", "another platform's image: pushed too, and an index of all; may be repeated", repeated)
    .option(
      "--creds <user:password>",
      "login for the registry, - to read it from standard input; else that of docker's config.json",
    )
    .option("--json", "print what was pushed as JSON; progress as JSON lines on stderr")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod image push 127.0.0.1:5000/web:1\n  tripod image push web registry.example.com/team/web:2 --creds me:secret\n  tripod image push --all-tags registry.example.com/team/web\n  tripod image push web:amd64 registry.example.com/team/web:1 --with web:arm64",
    )
    .action((name: string, target: string | undefined, options: PushFlags) =>
      withImages(options, async (images, signal) => {
        using view = new ProgressView(options);
        const { onProgress } = view;
        const auth = credentialsOf(target ?? name, options.creds);
        let pushed: string[];
        if (options.with !== undefined) {
          if (target === undefined || options.allTags)
            throw new TripodError(
              "invalid",
              "image push --with: give the name that stands for all platforms as target",
            );
          const names = [name, ...options.with];
          const copied = await images.remote.pushIndex(names, target, { auth: { target: auth }, signal, onProgress });
          pushed = [copied.target];
        } else if (options.allTags) {
          if (target !== undefined)
            throw new TripodError("invalid", "image push --all-tags: takes one name, no target");
          const prefix = `${repositoryOf(parseReference(name))}:`;
          const tags = images.list().flatMap(({ repoTags }) => repoTags.filter((tag) => tag.startsWith(prefix)));
          if (tags.length === 0)
            throw new TripodError(
              "not-found",
              `image push: ${name} has no tag here; tripod image ls lists what there is`,
            );
          pushed = [];
          for (const tag of tags.toSorted()) pushed.push(await images.push(tag, { signal, onProgress, auth }));
        } else pushed = [await images.push(name, { target, signal, onProgress, auth })];
        view[Symbol.dispose]();
        if (options.json) printJson(options.allTags ? { pushed } : { pushed: pushed[0] });
        else for (const each of pushed) process.stdout.write(`${each}\n`);
      }),
    );
}
