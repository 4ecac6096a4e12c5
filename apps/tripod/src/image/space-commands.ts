import { TripodError } from "@tripod/base";
import { Command } from "commander";
import { columns, humanBytes, shortId } from "./human.ts";
import { repeated } from "./repeated.ts";
import { printJson, type StoreOptions, withImages } from "./with-images.ts";

export function usageCommand(): Command {
  return new Command("du")
    .description("Show what images take on the disk, and what removing one would free")
    .option("--root <dir>", "the instance's folder")
    .option("--json", "print it as JSON, in bytes")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod image du\n  tripod image du --json | jq .unusedBytes\n\nSIZE is compressed, as from the registry; UNPACKED is what containers run on. UNIQUE of both is what no other image uses.",
    )
    .action((options: StoreOptions) =>
      withImages(options, async (images) => {
        const usage = images.usage();
        if (options.json) {
          printJson(usage);
          return;
        }
        const rows = usage.images.map((image) => [
          image.names.find((name) => !name.includes("@")) ?? image.names[0] ?? "<none>",
          shortId(image.id),
          humanBytes(image.blobBytes),
          humanBytes(image.unpackedBytes),
          humanBytes(image.sharedBlobBytes + image.sharedUnpackedBytes),
          humanBytes(image.blobBytes + image.unpackedBytes - image.sharedBlobBytes - image.sharedUnpackedBytes),
          [
            ...(image.containers.length > 0 ? [`${image.containers.length} containers`] : []),
            ...(image.mounts.length > 0 ? [`${image.mounts.length} mounts`] : []),
          ].join(", ") || "-",
        ]);
        const head = ["IMAGE", "ID", "SIZE", "UNPACKED", "SHARED", "UNIQUE", "USED BY"];
        const sorted = rows.toSorted(([a = ""], [b = ""]) => (a < b ? -1 : a > b ? 1 : 0));
        process.stdout.write(`${columns([head, ...sorted])}\n\n`);
        const totals = [
          ["blobs", usage.blobBytes],
          ["unpacked", usage.unpackedBytes],
          ["partial downloads", usage.partialBytes],
          ["of these unused", usage.unusedBytes],
        ] as const;
        process.stdout.write(`${columns(totals.map(([name, bytes]) => [name, humanBytes(bytes)]))}\n`);
      }),
    );
}

interface PruneFlags extends StoreOptions {
  readonly all?: true;
  readonly filter?: string[];
  readonly dryRun?: true;
}

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** "90m", "24h", "1h30m" before now, or a date; in milliseconds since 1970. */
export function parseUntil(text: string, nowMs: number): number {
  if (/^(\d+[smhdw])+$/.test(text)) {
    const parts = text.matchAll(/(\d+)([smhdw])/g);
    return nowMs - parts.reduce((sum, [, count, unit]) => sum + Number(count) * (unitMs[unit ?? ""] ?? 0), 0);
  }
  const date = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(date)) return date;
  throw new TripodError(
    "invalid",
    `--filter until=${text}: must be a time before now like 24h or 7d, or a date like 2026-01-31T12:00:00Z`,
  );
}

function filtersOf(filters: readonly string[]): { readonly untilMs?: number; readonly labels: string[] } {
  const values = (name: string): string[] =>
    filters.flatMap((filter) => (filter.startsWith(`${name}=`) ? [filter.slice(name.length + 1)] : []));
  const unknown = filters.find((filter) => !/^(until|label)=./.test(filter));
  if (unknown !== undefined)
    throw new TripodError("invalid", `--filter ${unknown}: must be until=TIME, label=NAME or label=NAME=VALUE`);
  const times = values("until").map((text) => parseUntil(text, Date.now()));
  return { labels: values("label"), ...(times.length > 0 && { untilMs: Math.min(...times) }) };
}

export function pruneCommand(): Command {
  return new Command("prune")
    .description("Remove images that no container and no mount uses, and say what that frees")
    .option("--root <dir>", "the instance's folder")
    .option("--all", "also those that have a tag")
    .option("--filter <filter>", "until=24h (came here earlier), label=NAME[=VALUE]; may be repeated", repeated)
    .option("--dry-run", "only say what would be removed")
    .option("--json", "print what was removed as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod image prune\n  tripod image prune --all --dry-run\n  tripod image prune --all --filter until=7d --filter label=stage=build\n\nPinned images stay.",
    )
    .action((options: PruneFlags) =>
      withImages(options, async (images) => {
        const dryRun = options.dryRun === true;
        const report = await images.prune({
          ...filtersOf(options.filter ?? []),
          all: options.all === true,
          dryRun,
        });
        if (options.json) {
          printJson({ ...report, dryRun });
          return;
        }
        for (const { id, names } of report.images)
          process.stdout.write(`${names.join(" ") || "<none>"} ${shortId(id)}\n`);
        const count = `${report.images.length} images, ${report.layers} layers, ${report.blobs} blobs`;
        process.stdout.write(`${dryRun ? "would free" : "freed"} ${humanBytes(report.freedBytes)} (${count})\n`);
      }),
    );
}
