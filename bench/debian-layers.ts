import { createHash } from "node:crypto";
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { runCommand } from "@tripod/base";
import { digestOf } from "@tripod/oci";

/** A layer in a file, gzip as registries hold it. */
export interface LayerFile {
  readonly path: string;
  readonly digest: string;
  readonly size: number;
  readonly diffId: string;
}

/** What the benchmark pulls. */
export interface BenchLayers {
  /** A Debian root of some 220 MB and 11,000 files, as one layer. */
  readonly one: readonly LayerFile[];
  /** The same cut in ten. */
  readonly ten: readonly LayerFile[];
  /** The same but for the last layer. */
  readonly otherTen: readonly LayerFile[];
  /** The same cut in twenty. */
  readonly twenty: readonly LayerFile[];
  /** One file of 100 MB, and of 1 GB, that compress well. */
  readonly large: readonly LayerFile[];
  readonly huge: readonly LayerFile[];
}

/**
 * Makes the layers in `cache`, or finds those that an earlier run made there. The root is made by mmdebstrap (Debian 12, minimal, with
 * perl and python3), which needs a Debian mirror once, and a minute or two.
 */
export async function benchLayers(cache: string): Promise<BenchLayers> {
  const index = join(cache, "layers.json");
  // Written below, by this very function.
  if (existsSync(index)) return JSON.parse(readFileSync(index, "utf8")) as BenchLayers;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, "work-"));
  try {
    const root = await debianRoot(cache);
    const tree = join(work, "tree");
    mkdirSync(tree);
    await runCommand("tar", ["--numeric-owner", "-C", tree, "-xf", root]);
    const cut = (name: string, parts: readonly string[][], more: readonly string[] = []): Promise<LayerFile[]> =>
      Array.fromAsync(parts.entries(), ([part, names]) => archive(tree, join(cache, `${name}-${part}`), names, more));
    const tenParts = await partsOf(tree, 10);
    const ten = await cut("ten", tenParts);
    const layers: BenchLayers = {
      one: [await compress(createReadStream(root), join(cache, "one-0"))],
      ten,
      otherTen: [...ten.slice(0, -1), ...(await cut("other", tenParts.slice(-1), ["--mtime=@0"]))],
      twenty: await cut("twenty", await partsOf(tree, 20)),
      large: [await oneFile(work, join(cache, "large"), 100e6)],
      huge: [await oneFile(work, join(cache, "huge"), 1e9)],
    };
    writeFileSync(`${index}.new`, JSON.stringify(layers, null, 2));
    renameSync(`${index}.new`, index);
    return layers;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The root's tar, made in `cache` unless it is there. */
export async function debianRoot(cache: string): Promise<string> {
  mkdirSync(cache, { recursive: true });
  const root = join(cache, "root.tar");
  if (existsSync(root)) return root;
  const making = `${root}.new`;
  const packages = "perl,python3,ca-certificates";
  await runCommand("mmdebstrap", ["--variant=minbase", "--format=tar", `--include=${packages}`, "bookworm", making], {
    timeoutMs: 900_000,
  });
  renameSync(making, root);
  return root;
}

/** Cuts a tree's names, in order, into parts of about the same weight; each part names the folders that its files are in. */
async function partsOf(tree: string, count: number): Promise<string[][]> {
  const found = await runCommand("find", [tree, "-mindepth", "1", "-printf", "%s %P\\0"]);
  const files = [...found.stdout.toString().matchAll(/(\d+) ([^\0]+)\0/g)]
    .map(([, size, name = ""]) => ({ name, weight: 4096 + Number(size) }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const whole = files.reduce((sum, { weight }) => sum + weight, 0);
  const parts = Array.from({ length: count }, () => new Set<string>());
  let before = 0;
  for (const { name, weight } of files) {
    const part = parts[Math.min(count - 1, Math.floor((before / whole) * count))];
    const steps = name.split("/");
    for (let depth = 1; depth <= steps.length; depth += 1) part?.add(steps.slice(0, depth).join("/"));
    before += weight;
  }
  return parts.map((names) => [...names].toSorted());
}

async function archive(
  tree: string,
  path: string,
  names: readonly string[],
  more: readonly string[] = [],
): Promise<LayerFile> {
  const [list, tar] = [`${path}.list`, `${path}.tar`];
  writeFileSync(list, names.map((name) => `${name}\0`).join(""));
  const files = ["--no-recursion", "--numeric-owner", "--null", "-T", list];
  await runCommand("tar", ["-C", tree, ...more, ...files, "-cf", tar]);
  const layer = await compress(createReadStream(tar), path);
  for (const made of [list, tar]) rmSync(made);
  return layer;
}

/** A layer of one file: noise of 16 KiB over and over, whose repetition gzip finds. */
async function oneFile(work: string, path: string, bytes: number): Promise<LayerFile> {
  const noise = Buffer.concat(
    Array.from({ length: 512 }, (_, block) => createHash("sha256").update(String(block)).digest()),
  );
  await pipeline(
    function* () {
      for (let left = bytes; left > 0; left -= noise.length) yield noise.subarray(0, left);
    },
    createWriteStream(join(work, "file")),
  );
  return archive(work, path, ["file"]);
}

async function compress(tar: Readable, name: string): Promise<LayerFile> {
  const [path, hash] = [`${name}.tar.gz`, createHash("sha256")];
  const seen = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  await pipeline(tar, seen, createGzip(), createWriteStream(path));
  const bytes = readFileSync(path);
  return { path, digest: digestOf(bytes), size: bytes.length, diffId: `sha256:${hash.digest("hex")}` };
}
