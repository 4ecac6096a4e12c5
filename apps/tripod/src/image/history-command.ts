import { TripodError } from "@tripod/base";
import type { Image } from "@tripod/oci";
import { Command } from "commander";
import { columns, humanBytes } from "./human.ts";
import { printJson, type StoreOptions, withImages } from "./with-images.ts";

interface HistoryStep {
  readonly created?: string;
  readonly createdBy?: string;
  readonly comment?: string;
  /** Absent for a step that changed no file. */
  readonly layer?: string;
  readonly sizeBytes?: number;
}

/** The steps that made an image, newest first, each with its layer. Layers that the history does not speak of come last. */
export function historyOf({ config, layers }: Pick<Image, "config" | "layers">): HistoryStep[] {
  const left = [...layers];
  const steps = (config.history ?? []).map((entry): HistoryStep => {
    const layer = entry.empty_layer === true ? undefined : left.shift();
    return {
      ...(entry.created !== undefined && { created: entry.created }),
      ...(entry.created_by !== undefined && { createdBy: entry.created_by }),
      ...(entry.comment !== undefined && { comment: entry.comment }),
      ...(layer !== undefined && { layer: layer.digest, sizeBytes: layer.size }),
    };
  });
  const unknown = left.map(({ digest, size }): HistoryStep => ({ layer: digest, sizeBytes: size }));
  return [...steps, ...unknown].toReversed();
}

export function historyCommand(): Command {
  return new Command("history")
    .argument("<image>", "name or id")
    .description("Show the steps that made an image, newest first, and what each weighs (compressed)")
    .option("--root <dir>", "the instance's folder")
    .option("--no-trunc", "show commands whole")
    .option("--json", "print the steps as JSON")
    .addHelpText("after", "\nExamples:\n  tripod image history busybox\n  tripod image history web:1 --no-trunc")
    .action((name: string, options: StoreOptions & { readonly trunc: boolean }) =>
      withImages(options, async (images) => {
        const image = images.get(name);
        if (image === undefined)
          throw new TripodError("not-found", `image history: no image ${name}; tripod image ls lists what there is`);
        const steps = historyOf(image);
        if (options.json) {
          printJson(steps);
          return;
        }
        const short = (text: string): string => (options.trunc && text.length > 60 ? `${text.slice(0, 59)}…` : text);
        const rows = steps.map((step) => [
          step.created ?? "-",
          step.sizeBytes === undefined ? "0 B" : humanBytes(step.sizeBytes),
          short((step.createdBy ?? step.comment ?? "-").replaceAll(/\s+/g, " ")),
        ]);
        process.stdout.write(`${columns([["CREATED", "SIZE", "CREATED BY"], ...rows])}\n`);
      }),
    );
}
