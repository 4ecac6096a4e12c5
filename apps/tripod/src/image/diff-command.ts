import { TripodError } from "@tripod/base";
import type { Images, TreeChange } from "@tripod/oci";
import { Command } from "commander";
import { printJson, type StoreOptions, withImages } from "./with-images.ts";

interface DiffOptions extends StoreOptions {
  readonly container?: string;
  readonly contentOnly?: true;
}

const letters = { added: "A", changed: "C", removed: "D" } as const;

/** The container with this id, or the only one whose id begins so. */
function containerOf(images: Images, id: string): { readonly imageId: string; readonly rootfs: string } {
  const found = images.listRootfs().filter(({ containerId }) => containerId.startsWith(id));
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  const why = only === undefined ? "there is none" : `${found.length} begin so`;
  throw new TripodError("not-found", `image diff: container ${id}: ${why}; crictl ps -a lists them`);
}

/** A name in an image may hold what a terminal obeys. */
const shown = (path: string): string =>
  path.replaceAll(/[\p{Cc}\p{Cf}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);

/** Times differ wherever something was built anew; who asks for contents does not ask for those. */
const isTime = ({ what }: TreeChange): boolean => what?.startsWith("changed at ") === true;

export function diffCommand(): Command {
  return new Command("diff")
    .argument("[image]", "name or id; with --container, its own image unless given")
    .argument("[other]", "the image to compare it with")
    .description("Show what is other in a second image, or what a container has changed: A added, C changed, D removed")
    .option("--container <id>", "compare with a container's root file system; the beginning of its id is enough")
    .option("--content-only", "pass over what differs in its time of change alone")
    .option("--root <dir>", "the instance's folder")
    .option("--json", "print the changes as JSON, with what changed")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod image diff web:1 web:2\n  tripod image diff --container 3f2a9c\n  tripod image diff web:1 web:2 --json | jq '.[] | select(.kind == \"changed\")'",
    )
    .action((name: string | undefined, other: string | undefined, options: DiffOptions) =>
      withImages(options, async (images, signal) => {
        if ((options.container === undefined) === (other === undefined) || (name === undefined && other !== undefined))
          throw new TripodError("invalid", "image diff: give two images, or --container");
        const container = options.container === undefined ? undefined : containerOf(images, options.container);
        const found = await images.diff(
          name ?? container?.imageId ?? "",
          container === undefined ? { image: other ?? "" } : { rootfs: container.rootfs },
          { signal },
        );
        const changes = options.contentOnly ? found.filter((change) => !isTime(change)) : found;
        if (options.json) printJson(changes);
        else for (const { path, kind } of changes) process.stdout.write(`${letters[kind]} ${shown(path)}\n`);
      }),
    );
}
