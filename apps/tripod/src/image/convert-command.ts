import { Command } from "commander";
import { humanBytes, shortId } from "./human.ts";
import { ProgressView } from "./progress.ts";
import { printJson, type StoreOptions, withImages } from "./with-images.ts";

export function convertCommand(): Command {
  return new Command("convert")
    .argument("<image>", "name or id of an image that is here")
    .argument("<name>", "the new image's name")
    .description("Make an image whose containers can start before all of it is fetched: the same files, in eStargz")
    .option("--root <dir>", "the instance's folder")
    .option("--json", "print the new image as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod image pull python:3.13\n  tripod image convert python:3.13 registry.example.com/team/python:3.13\n  tripod image push registry.example.com/team/python:3.13\n  tripod image pull --lazy registry.example.com/team/python:3.13\n\nIts digests are new ones: signatures of the old image do not hold for it.",
    )
    .action((image: string, tag: string, options: StoreOptions) =>
      withImages(options, async (images, signal) => {
        using view = new ProgressView(options);
        const made = await images.convert(image, { tag, signal, onProgress: view.onProgress });
        view[Symbol.dispose]();
        if (options.json) printJson(made);
        else process.stdout.write(`${made.repoTags.join(" ")} ${shortId(made.id)} ${humanBytes(made.sizeBytes)}\n`);
      }),
    );
}
