import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand, TripodError } from "@tripod/base";
import { type CniRuntime, isJsonObject, type JsonValue, networkConfigToJson, readConfDir } from "@tripod/cni";
import { bringUpLoopback, createNamespaces, mountTmpfs, namespaceExists, unmount } from "@tripod/linux";
import { foldersOf, type CniOptions } from "../cni-options.ts";
import { copyNetworks } from "./copy-network.ts";
import { changeBetween, type NetworkChange, networkFacts } from "./network-facts.ts";
import { changedFiles, dataDirsIn, keepStatePrivate } from "./private-state.ts";

/** What a command would do, as it did it in a copy of the network. */
export interface DryRun {
  readonly host: NetworkChange;
  /** Absent where the namespace is not there. */
  readonly container?: NetworkChange;
  /** Records of runtime and plugins. */
  readonly files: NetworkChange;
  /** What ADD would print. */
  readonly result?: JsonValue;
  /** What of the network could not be copied, so that the plan may be wrong about it. */
  readonly notCopied: readonly string[];
}

const privateMounts = "TRIPOD_DRY_RUN";

/** This program again, with other arguments. */
const self = (args: readonly string[]): readonly string[] => [
  process.execPath,
  ...process.execArgv,
  process.argv[1] ?? "",
  ...args,
];

/**
 * Goes on in a mount namespace of its own: the first time it is called it starts this program with the same arguments there, and ends this
 * process with that one's exit code; there it returns.
 */
export function enterPrivateMounts(): void {
  if (process.env[privateMounts] !== undefined) return;
  const words = ["--mount", "--propagation", "private", "--", ...self(process.argv.slice(2))];
  const { status, error } = spawnSync("unshare", words, {
    stdio: "inherit",
    env: { ...process.env, [privateMounts]: "1" },
  });
  if (error !== undefined)
    throw new TripodError("failed-precondition", `dry run: unshare (util-linux) cannot be run: ${error.message}`);
  process.exit(status ?? 1);
}

/** Types of plugins by whose records and namespaces a dry run is bounded. */
function checkTypes(config: JsonValue, own: ReadonlySet<string>): void {
  const types = typesIn(config);
  const foreign = types.find((type) => !own.has(type));
  if (foreign !== undefined)
    throw new TripodError(
      "unimplemented",
      `dry run: what ${foreign} does beyond the network is not known; it is none of Tripod's plugins`,
    );
  if (types.includes("dhcp"))
    throw new TripodError("unimplemented", "dry run: which address a DHCP server will give, only that server knows");
}

function typesIn(value: JsonValue): readonly string[] {
  if (Array.isArray(value)) return value.flatMap((item: JsonValue) => typesIn(item));
  if (!isJsonObject(value)) return [];
  const nested = ["plugins", "ipam", "delegate"].flatMap((key) => typesIn(value[key] ?? null));
  return typeof value.type === "string" ? [value.type, ...nested] : nested;
}

export interface DryRunRequest {
  /** The command and all of its arguments but for the namespace and the folders: ["add", "web", "--ifname", "eth0"]. */
  readonly words: readonly string[];
  readonly netns: string | undefined;
  readonly options: CniOptions;
  /** Types of Tripod's own plugins. */
  readonly own: ReadonlySet<string>;
}

/** Runs a command in copies of the host's namespace and the container's, and tells what changed there. Needs enterPrivateMounts(). */
export async function dryRun(runtime: CniRuntime, { words, netns, options, own }: DryRunRequest): Promise<DryRun> {
  const { confDir, binDirs, cacheDir } = foldersOf(options);
  const known = (await runtime.attachments()).map(({ network }) => network);
  const configs = [...known, ...(words[0] === "add" ? [await readConfDir(confDir)] : [])].map(networkConfigToJson);
  checkTypes(configs, own);
  using scratch = new Scratch();
  const [host, container, outside] = ["host", "container", "outside"].map((name) => scratch.namespace(name));
  if (host === undefined || container === undefined || outside === undefined)
    throw new TripodError("internal", "dry run: no namespaces");
  const there = netns !== undefined && namespaceExists(netns);
  const copies = [{ from: undefined, to: host }, ...(there ? [{ from: netns, to: container }] : [])];
  const notCopied = await copyNetworks(copies, outside);
  const folders = keepStatePrivate([cacheDir, ...dataDirsIn(configs)], scratch.path);
  const before = { host: networkFacts(host), container: networkFacts(container) };
  const places = ["--conf-dir", confDir, "--bin-dir", binDirs.join(":"), "--cache-dir", cacheDir];
  const where = there ? ["--netns", container] : [];
  const trace = options.trace === true ? ["--trace"] : [];
  const command = self(["cni", ...words, ...where, ...places, ...trace, "--json"]);
  const { exitCode, stdout, stderr } = await runCommand("nsenter", [`--net=${host}`, ...command], {
    okExitCodes: "any",
  });
  process.stderr.write(stderr);
  if (exitCode !== 0)
    throw new TripodError(
      "failed-precondition",
      "dry run: the command would fail, for the reason above; nothing was changed",
    );
  const after = { host: networkFacts(host), container: networkFacts(container) };
  const printed: unknown = JSON.parse(stdout.toString());
  const result = JSON.parse(JSON.stringify(printed).replaceAll(container, netns ?? "")) as JsonValue; // as above, JSON
  return {
    host: changeBetween(before.host, after.host),
    ...(there && { container: changeBetween(before.container, after.container) }),
    files: {
      added: folders.flatMap((folder) => changedFiles(folder).added),
      removed: folders.flatMap((folder) => changedFiles(folder).removed),
    },
    ...(words[0] === "add" && { result }),
    notCopied,
  };
}

/** A folder in memory, with namespaces pinned in it. */
class Scratch implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "tripod-dry-run-"));

  constructor() {
    mountTmpfs(this.path);
  }

  namespace(name: string): string {
    const path = join(this.path, name);
    createNamespaces({ net: path });
    bringUpLoopback(path);
    return path;
  }

  [Symbol.dispose](): void {
    unmount(this.path, { detach: true });
    rmSync(this.path, { recursive: true, force: true });
  }
}
