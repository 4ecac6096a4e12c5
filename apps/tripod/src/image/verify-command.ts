import type { Damage, VerifyReport } from "@tripod/oci";
import { Command } from "commander";
import { credentialsOf } from "./credentials.ts";
import { humanBytes } from "./human.ts";
import { printJson, type StoreOptions, withImages } from "./with-images.ts";

interface VerifyFlags extends StoreOptions {
  readonly deep?: true;
  readonly repair?: true;
}

export function verifyCommand(): Command {
  return new Command("verify")
    .description("Look for damage in the image store: blobs by their digests, unpacked layers by their files")
    .option("--root <dir>", "the instance's folder")
    .option(
      "--deep",
      "unpack each layer once more and compare every file; else number and sizes of files are looked at",
    )
    .option("--repair", "fetch and unpack again what is damaged")
    .option("--json", "print what was looked at and found as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod image verify\n  tripod image verify --deep --repair --root /tmp/node\n\nRegistries that want a login get that of docker's config.json. Ends with 1 when something is damaged and was not repaired. A daemon and containers may run meanwhile.",
    )
    .action((options: VerifyFlags) =>
      withImages(
        options,
        async (images, signal) => {
          const report = await images.verify({
            deep: options.deep === true,
            repair: options.repair === true,
            authFor: (reference) => credentialsOf(reference, undefined),
            signal,
          });
          if (options.json) printJson(report);
          else process.stdout.write(textOf(report, options));
          if (report.damaged.some(({ repair }) => repair?.done !== true)) process.exitCode = 1;
        },
        { keepDamaged: true },
      ),
    );
}

function textOf(report: VerifyReport, { deep, repair }: VerifyFlags): string {
  const { images, blobs, blobBytes, layers, files, damaged } = report;
  const how = deep ? "file by file" : "by number and sizes of their files";
  const looked = `${images} images: ${blobs} blobs (${humanBytes(blobBytes)}) by digest, ${layers} unpacked layers (${files} files) ${how}`;
  if (damaged.length === 0) return `${looked}; all is whole\n`;
  const hint = repair ? "" : "tripod image verify --repair fetches them again\n";
  return `${looked}\n${damaged.map(lineOf).join("")}${hint}`;
}

function lineOf({ kind, digest, images, problem, repair }: Damage): string {
  const users = images.length === 0 ? "needed by no image" : `of ${images.join(", ")}`;
  const then = repair === undefined ? "" : repair.done ? "; repaired" : `; not repaired: ${repair.why}`;
  return `${kind} ${digest} (${users}): ${problem}${then}\n`;
}
