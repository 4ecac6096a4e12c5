import { parseCopyPlace } from "@tripod/oci";
import { Command } from "commander";
import { credentialsOf } from "./credentials.ts";
import { ProgressView } from "./progress.ts";
import { printJson, type StoreOptions, withImages } from "./with-images.ts";

interface CopyFlags extends StoreOptions {
  readonly all?: true;
  readonly platform?: string;
  readonly srcCreds?: string;
  readonly destCreds?: string;
}

export function copyCommand(): Command {
  return new Command("copy")
    .alias("cp")
    .argument("<source>", "an image in a registry, oci:FOLDER[:TAG] or oci-archive:FILE[:TAG]; - is stdin")
    .argument("<target>", "the same; without a tag the source's; - is stdout")
    .description(
      "Copy an image between registries, OCI layouts and archives as it is: same bytes, same digests, not unpacked",
    )
    .option("--root <dir>", "the instance's folder")
    .option("--all", "everything that an index names, and the index; else the image of one platform")
    .option("--platform <os/arch>", "which one; this machine's unless given")
    .option(
      "--src-creds <user:password>",
      "login for the source, - to read it from standard input; else that of docker's config.json",
    )
    .option(
      "--dest-creds <user:password>",
      "login for the target, - to read it from standard input; else that of docker's config.json",
    )
    .option("--json", "print what was copied as JSON; progress as JSON lines on stderr")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod image copy --all docker.io/library/busybox:1.37 registry.example.com/mirror/busybox\n  tripod image copy busybox oci:./layout:1\n  tripod image copy oci-archive:web.tar registry.example.com/team/web:2",
    )
    .action((from: string, to: string, options: CopyFlags) =>
      withImages(options, async (images, signal) => {
        using view = new ProgressView(options);
        const authFor = (text: string, creds: string | undefined) =>
          parseCopyPlace(text).kind === "registry" ? credentialsOf(text.replace(/^docker:\/\//, ""), creds) : undefined;
        const copied = await images.remote.copy(from, to, {
          all: options.all === true,
          platform: options.platform,
          auth: { source: authFor(from, options.srcCreds), target: authFor(to, options.destCreds) },
          signal,
          onProgress: view.onProgress,
        });
        view[Symbol.dispose]();
        // Standard output may be the archive itself.
        const place = parseCopyPlace(to);
        const out = place.kind === "archive" && place.path === "-" ? process.stderr : process.stdout;
        if (options.json) printJson(copied, out);
        else out.write(`${copied.target}\n`);
      }),
    );
}
