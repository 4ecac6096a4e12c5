import { TripodError } from "@tripod/base";
import { Command } from "commander";
import { credentialsOf } from "./credentials.ts";
import { printJson, type StoreOptions, withImages } from "./with-images.ts";

interface InspectFlags extends StoreOptions {
  readonly remote?: true;
  readonly raw?: true;
  readonly config?: true;
  readonly platform?: string;
  readonly creds?: string;
}

export function inspectCommand(): Command {
  return new Command("inspect")
    .argument("<image>", "name or id")
    .description(
      "Print what is known about an image as JSON: of one that is here, or in its registry without pulling it",
    )
    .option("--root <dir>", "the instance's folder")
    .option("--remote", "ask the registry")
    .option("--raw", "print the manifest or index as it is, byte by byte")
    .option("--config", "print the config as it is")
    .option("--platform <os/arch>", "with --remote: which image of an index")
    .option(
      "--creds <user:password>",
      "with --remote: login, - to read it from standard input; else that of docker's config.json",
    )
    .option("--json", "JSON is what it prints anyway")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod image inspect busybox | jq .config.config.Env\n  tripod image inspect --remote registry.k8s.io/pause:3.10 | jq .platforms\n  tripod image inspect --remote --raw busybox | sha256sum",
    )
    .action((name: string, options: InspectFlags) =>
      withImages(options, async (images, signal) => {
        if (options.remote) {
          const auth = credentialsOf(name, options.creds);
          const { raw, ...image } = await images.remote.inspect(name, { auth, platform: options.platform, signal });
          if (options.raw || options.config) process.stdout.write(options.config ? raw.config : raw.manifest);
          else printJson(image);
          return;
        }
        const image = images.get(name);
        if (image === undefined) {
          const advice = "tripod image ls lists what there is, --remote asks the registry";
          throw new TripodError("not-found", `image inspect: no image ${name}; ${advice}`);
        }
        const blobs = new Set(image.layers.map(({ digest }) => digest));
        const coming = images.lazyLayers().filter(({ blob }) => image.lazy === true && blobs.has(blob));
        if (!options.raw && !options.config) printJson({ ...image, ...(image.lazy === true && { coming }) });
        else process.stdout.write(await images.document(name, options.config ? "config" : "manifest"));
      }),
    );
}
