import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { messageOf, TripodError } from "@tripod/base";
import { Command } from "commander";
import { withImages } from "../image/with-images.ts";
import { defaultSpec } from "./default-spec.ts";

interface SpecOptions {
  readonly root?: string;
  readonly bundle: string;
  readonly image?: string;
  readonly unpack?: true;
  readonly terminal: boolean;
  readonly force?: true;
  readonly print?: true;
}

/** Whole or not at all. */
function writeConfig(folder: string, text: string): void {
  const draft = join(folder, "config.json.tmp");
  writeFileSync(draft, text);
  renameSync(draft, join(folder, "config.json"));
}

/** Makes the folder, and says whether it was there; what is not to be overwritten is refused. */
function prepareFolder(folder: string, options: SpecOptions): void {
  if (existsSync(join(folder, "config.json")) && options.force !== true)
    throw new TripodError("conflict", `${join(folder, "config.json")} is there already; --force writes it anew`);
  mkdirSync(folder, { recursive: true });
  const rootfs = join(folder, "rootfs");
  if (options.unpack === true && existsSync(rootfs) && readdirSync(rootfs).length > 0)
    throw new TripodError("conflict", `${rootfs} is not empty; remove it, or name another bundle`);
}

async function specOfImage(name: string, folder: string, options: SpecOptions): Promise<string> {
  return await withImages(options, async (images) => {
    const image = images.get(name);
    if (image === undefined)
      throw new TripodError("not-found", `image ${name} is not here; tripod image pull ${name} fetches it`);
    if (image.artifact !== undefined)
      throw new TripodError(
        "invalid",
        `image ${name} is an artifact (${image.artifact.type}); nothing in it says what to run`,
      );
    const rootfs = join(folder, "rootfs");
    if (options.unpack === true) {
      process.stderr.write(`unpacking ${name} to ${rootfs}\n`);
      try {
        await images.copyRootfs(name, rootfs);
      } catch (error) {
        rmSync(rootfs, { recursive: true, force: true });
        throw new TripodError("internal", `unpack ${name} to ${rootfs}: ${messageOf(error)}`, { cause: error });
      }
      return text({ rootPath: "rootfs", terminal: options.terminal, image: { config: image.config, rootfs } });
    }
    const wasMounted = images.mounts().some(({ imageId }) => imageId === image.id);
    const { target } = await images.mount(name);
    try {
      return text({ rootPath: "rootfs", terminal: options.terminal, image: { config: image.config, rootfs: target } });
    } finally {
      if (!wasMounted) images.unmount({ target });
    }
  });
}

const text = (request: Parameters<typeof defaultSpec>[0]): string =>
  `${JSON.stringify(defaultSpec(request), null, 2)}\n`;

async function writeSpec(options: SpecOptions): Promise<void> {
  const folder = resolve(options.bundle);
  if (options.unpack === true && options.image === undefined)
    throw new TripodError("invalid", "oci spec: --unpack needs --image");
  if (options.print !== true) prepareFolder(folder, options);
  const config =
    options.image === undefined
      ? text({ rootPath: "rootfs", terminal: options.terminal })
      : await specOfImage(options.image, folder, options);
  if (options.print === true) process.stdout.write(config);
  else writeConfig(folder, config);
}

export function specCommand(): Command {
  return new Command("spec")
    .description("Write a bundle's config.json: a shell in namespaces of its own, or an image's program")
    .option("-b, --bundle <dir>", "the bundle's folder, made when absent", ".")
    .option("--image <name>", "take program, user, environment and folder from an image that is here")
    .option("--unpack", "also unpack the image's files to rootfs in the bundle")
    .option("--no-terminal", "without a terminal")
    .option("--force", "write config.json anew")
    .option("--print", "print it instead of writing it")
    .option("--root <dir>", "the instance's folder")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod oci spec -b /tmp/box                  config.json alone; put files into /tmp/box/rootfs\n  tripod oci spec --image busybox --unpack -b /tmp/box\n  tripod oci spec --print | jq .linux.seccomp",
    )
    .action((options: SpecOptions) => writeSpec(options));
}
