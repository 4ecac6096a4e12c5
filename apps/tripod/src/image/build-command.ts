import { statSync } from "node:fs";
import { TripodError } from "@tripod/base";
import { type BuildOptions, type ImageSpec, parseCopy, parsePort } from "@tripod/oci";
import { Command } from "commander";
import { credentialsOf } from "./credentials.ts";
import { humanBytes, shortId } from "./human.ts";
import { ProgressView } from "./progress.ts";
import { repeated } from "./repeated.ts";
import { printJson, type StoreOptions, withImages } from "./with-images.ts";

interface BuildFlags extends StoreOptions {
  readonly tag: string[];
  readonly file?: string;
  readonly from?: string;
  readonly copy?: string[];
  readonly env?: string[];
  readonly label?: string[];
  readonly port?: string[];
  readonly entrypoint?: string;
  readonly cmd?: string;
  readonly user?: string;
  readonly workdir?: string;
  readonly volume?: string[];
  readonly stopSignal?: string;
  readonly ignore?: string[];
  readonly keepModes?: true;
  readonly estargz?: true;
  readonly pull?: true;
  readonly platform?: string;
  readonly creds?: string;
}

/** A JSON list of words, or a shell's command line. */
function words(text: string, flag: string): string[] {
  if (!text.startsWith("[")) return ["/bin/sh", "-c", text];
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list) && list.every((item) => typeof item === "string")) return list;
  } catch {
    // said below, as for a list of other things
  }
  throw new TripodError("invalid", `${flag}: must be a command line, or a JSON list like '["/bin/web","-v"]'`);
}

function pairs(list: readonly string[], flag: string): Record<string, string> {
  return Object.fromEntries(
    list.map((item) => {
      const equals = item.indexOf("=");
      if (equals < 1) throw new TripodError("invalid", `${flag}: ${JSON.stringify(item)} must be NAME=VALUE`);
      return [item.slice(0, equals), item.slice(equals + 1)];
    }),
  );
}

/** What the flags say; absent ones leave tripod-image.yaml's word. */
function specOf(flags: BuildFlags): ImageSpec {
  const { from, copy, env, label, port, entrypoint, cmd, user, workdir, volume, stopSignal, ignore } = flags;
  return {
    ...(from === undefined ? {} : { from }),
    ...(copy === undefined ? {} : { copy: copy.map((item) => parseCopy(item, "--copy")) }),
    ...(env === undefined ? {} : { env: pairs(env, "--env") }),
    ...(label === undefined ? {} : { labels: pairs(label, "--label") }),
    ...(port === undefined ? {} : { ports: port.map((item) => parsePort(item, "--port")) }),
    ...(entrypoint === undefined ? {} : { entrypoint: words(entrypoint, "--entrypoint") }),
    ...(cmd === undefined ? {} : { cmd: words(cmd, "--cmd") }),
    ...(user === undefined ? {} : { user }),
    ...(workdir === undefined ? {} : { workdir }),
    ...(volume === undefined ? {} : { volumes: volume }),
    ...(stopSignal === undefined ? {} : { stopSignal }),
    ...(ignore === undefined ? {} : { ignore }),
    ...(flags.keepModes === undefined ? {} : { modes: "keep" as const }),
  };
}

export function buildCommand(): Command {
  return new Command("build")
    .argument("<source>", "a folder (its tripod-image.yaml says how), or a tar of a root file system")
    .description("Make an image of one new layer; the same input gives the same digests")
    .requiredOption("-t, --tag <name>", "name for the image; may be repeated", repeated)
    .option("-f, --file <file>", "another file than the folder's tripod-image.yaml")
    .option("--from <image>", "the image to build on; scratch is nothing")
    .option("--copy <from:to>", "a file or folder of the source, and where it goes; may be repeated", repeated)
    .option("-e, --env <name=value>", "may be repeated", repeated)
    .option("-l, --label <name=value>", "may be repeated", repeated)
    .option("-p, --port <port>", "80 or 53/udp; may be repeated", repeated)
    .option("--entrypoint <command>", "a JSON list, or a line for /bin/sh")
    .option("--cmd <command>", "a JSON list, or a line for /bin/sh")
    .option("-u, --user <user>", "name or number, maybe with :group")
    .option("-w, --workdir <path>", "where processes start")
    .option("--volume <path>", "a folder that containers get a volume for; may be repeated", repeated)
    .option("--stop-signal <signal>", "what ends it, e.g. SIGINT; SIGTERM unless given")
    .option("--ignore <glob>", "what not to copy, relative to the source; may be repeated", repeated)
    .option(
      "--keep-modes",
      "permission bits as on the disk; else group and others may what the owner may, but not write",
    )
    .option("--estargz", "write the layer so that containers can start before all of it is fetched (eStargz)")
    .option("--pull", "ask the registry for --from, also when it is here")
    .option("--platform <os/arch>", "what the image is for; this machine unless given")
    .option("--creds <user:password>", "login for pulling --from")
    .option("--root <dir>", "the instance's folder")
    .option("--json", "print the image as JSON")
    .addHelpText(
      "after",
      '\nExamples:\n  tripod image build ./rootfs -t tools:1 --cmd \'["/bin/sh"]\'\n  tripod image build ./site -t 127.0.0.1:5000/web:1 --from busybox --copy .:/www --cmd "httpd -f -h /www" -p 80\n\ntripod-image.yaml:\n  from: busybox\n  copy: [{ from: site, to: /www, owner: "80:80" }]\n  env: { MODE: fast }\n  cmd: [httpd, -f, -h, /www]\n  ports: [80]\n  # as well: ignore, modes (plain, keep), entrypoint, user, workdir, labels, volumes, stopSignal\n\nTimes are SOURCE_DATE_EPOCH (seconds since 1970), else 0.',
    )
    .action((source: string, flags: BuildFlags) =>
      withImages(flags, async (images, signal) => {
        using view = new ProgressView(flags);
        const found = statSync(source, { throwIfNoEntry: false });
        if (found === undefined) throw new TripodError("not-found", `build image: ${source} does not exist`);
        const options: BuildOptions = {
          ...(found.isDirectory() ? { context: source } : { rootfsTar: source }),
          spec: specOf(flags),
          tags: flags.tag,
          signal,
          onProgress: view.onProgress,
          ...(flags.file === undefined ? {} : { specFile: flags.file }),
          ...(flags.platform === undefined ? {} : { platform: flags.platform }),
          authFor: (reference) => credentialsOf(reference, flags.creds),
          pull: flags.pull === true,
          estargz: flags.estargz === true,
        };
        const image = await images.build(options);
        view[Symbol.dispose]();
        if (flags.json) printJson(image);
        else process.stdout.write(`${image.repoTags.join(" ")} ${shortId(image.id)} ${humanBytes(image.sizeBytes)}\n`);
      }),
    );
}
