import { TripodError } from "@tripod/base";
import { Command } from "commander";
import { credentialsOf } from "./credentials.ts";
import { humanBytes, shortId } from "./human.ts";
import { ProgressView } from "./progress.ts";
import { printJson, type StoreOptions, withImages } from "./with-images.ts";

interface PullFlags extends StoreOptions {
  readonly platform?: string;
  readonly creds?: string;
  readonly lazy?: true;
}

export function pullCommand(): Command {
  return new Command("pull")
    .argument("<image>", "its name, as docker takes it")
    .description("Fetch an image from its registry and unpack it")
    .option("--root <dir>", "the instance's folder")
    .option("--platform <os/arch>", "another platform than this machine's, e.g. linux/arm64")
    .option(
      "--creds <user:password>",
      "login for the registry, - to read it from standard input; else that of docker's config.json",
    )
    .option("--lazy", "return once containers can start; the rest comes meanwhile (images in eStargz or zstd:chunked)")
    .option("--json", "print the image as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod image pull busybox\n  tripod image pull registry.example.com/team/web:1 --creds me:secret\n  tripod image pull 127.0.0.1:5000/busybox:1 --root /tmp/node\n\nMirrors and certificates: etc/certs.d/HOST/hosts.toml, as with containerd.",
    )
    .action((name: string, options: PullFlags) =>
      withImages(options, async (images, signal) => {
        using view = new ProgressView(options);
        const auth = credentialsOf(name, options.creds);
        const image = await images.pull(name, {
          signal,
          onProgress: view.onProgress,
          ...(auth === undefined ? {} : { auth }),
          ...(options.platform === undefined ? {} : { platform: options.platform }),
          ...(options.lazy === true && { lazy: {} }),
        });
        view[Symbol.dispose]();
        if (image.wholeBecause !== undefined && options.lazy === true)
          process.stderr.write(`fetched whole: ${image.wholeBecause}\n`);
        if (options.json) printJson(image);
        else process.stdout.write(`${image.repoDigests[0] ?? image.id}\n`);
      }),
    );
}

interface ImportFlags extends StoreOptions {
  readonly name?: string;
  readonly platform?: string;
}

export function importCommand(): Command {
  return new Command("import")
    .argument(
      "<archive>",
      "a tar of `docker save` or in OCI layout (maybe compressed), or an OCI layout folder; - is stdin",
    )
    .description("Take every image from an archive")
    .option("--root <dir>", "the instance's folder")
    .option("--name <image>", "name for the image instead of the archive's own")
    .option("--platform <os/arch>", "which image of an index to take")
    .option("--json", "print the images as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  docker save web:1 | tripod image import -\n  tripod image import web.tar\n  tripod image import ./oci-layout --name web:2",
    )
    .action((path: string, options: ImportFlags) =>
      withImages(options, async (images, signal) => {
        using view = new ProgressView(options);
        const found = await images.importArchive(path === "-" ? process.stdin : path, {
          name: options.name,
          platform: options.platform,
          signal,
          onProgress: view.onProgress,
        });
        view[Symbol.dispose]();
        if (options.json) printJson(found);
        else
          for (const image of found)
            process.stdout.write(
              `${image.repoTags.join(" ") || "<none>"} ${shortId(image.id)} ${humanBytes(image.sizeBytes)}\n`,
            );
      }),
    );
}

interface ExportFlags extends StoreOptions {
  readonly output: string;
}

export function exportCommand(): Command {
  return new Command("export")
    .argument("<images...>", "names or ids")
    .requiredOption("-o, --output <file>", "where to write; - is stdout, a folder (or NAME/) becomes an OCI layout")
    .description("Write images to one archive that `docker load` and OCI tools read, or to an OCI layout folder")
    .option("--root <dir>", "the instance's folder")
    .option("--json", "print what was written as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod image export web:1 db:2 -o images.tar\n  tripod image export web:1 -o - | docker load\n  tripod image export web:1 -o layout/",
    )
    .action((names: string[], options: ExportFlags) =>
      withImages(options, async (images, signal) => {
        const { output, json } = options;
        if (output === "-" && process.stdout.isTTY)
          throw new TripodError("invalid", "image export: standard output is a terminal; name a file, or pipe it on");
        if (output === "-" && json)
          throw new TripodError(
            "invalid",
            "image export: --json goes to standard output, where the archive goes; name a file",
          );
        await images.exportArchive(names, output === "-" ? process.stdout : output, { signal });
        const ids = names.flatMap((name) => images.get(name)?.id ?? []);
        if (json) printJson({ output, images: ids });
      }),
    );
}
