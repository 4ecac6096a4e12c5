import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { isTripodError } from "@tripod/base";
import { mountTmpfs } from "@tripod/linux";
import { type SeededRandom, tempRoot } from "@tripod/testing";
import { formatReference, parseReference } from "../reference.ts";
import { parseChallenges } from "../registry/challenge.ts";
import { measureTree } from "../snapshots/measure-tree.ts";
import { artifactFiles } from "../spec/artifact.ts";
import { chainIdsOf, parseImageConfig } from "../spec/image-config.ts";
import { checkRunnable, chooseManifest, parseManifest } from "../spec/manifest.ts";
import { parsePlatform } from "../spec/platform.ts";
import type { TarEntry } from "../tar/tar-entry.ts";
import { TarReader } from "../tar/tar-reader.ts";
import { LayerWriter } from "../unpack/layer-writer.ts";
import { refusalOf } from "../unpack/refusal.ts";
import { BlockCoverage } from "./block-coverage.ts";
import { fuzz, type FuzzOptions } from "./fuzz.ts";
import { mendChecksums, tarCorpus, tarWords } from "./tar-corpus.ts";

// TRIPOD_FUZZ_SEED=N repeats a run; TRIPOD_FUZZ_TIMES=N makes it so many times as long; TRIPOD_FUZZ_SECONDS=N gives each parser so long, and has
// inputs that reach new code mutated on (which takes V8's counters, so that it cannot be had together with node --experimental-test-coverage).
/** The same each time unless told: what another seed finds becomes a test of its own. */
const seed = Number(process.env.TRIPOD_FUZZ_SEED ?? 20_261_126);
const seconds = process.env.TRIPOD_FUZZ_SECONDS === undefined ? undefined : Number(process.env.TRIPOD_FUZZ_SECONDS);
const times = Number(process.env.TRIPOD_FUZZ_TIMES ?? 1);

const isParser = (url: string): boolean =>
  /\/packages\/oci\/src\/(reference|digest|spec|tar|unpack|registry\/challenge)/.test(url) && !url.includes(".test.");
const coverage = seconds === undefined ? undefined : new BlockCoverage(isParser);
after(() => coverage?.[Symbol.dispose]());

/** So many inputs, or as many as the time that is given allows. */
function run(t: TestContext, inputs: number, options: Pick<FuzzOptions, "corpus" | "words" | "mend" | "check">): void {
  const end = performance.now() + (seconds ?? 0) * 1000;
  const goOn = (count: number): boolean => (seconds === undefined ? count < inputs * times : performance.now() < end);
  const report = fuzz({ ...options, seed, coverage, goOn });
  t.diagnostic(`${report.inputs} inputs, ${report.kept} reached something new`);
}

/** The answer, or undefined where the input is refused as it should be: by an error of ours, with a reason. */
function refusable<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (isTripodError(error, "invalid", "unimplemented", "not-found", "exhausted") && error.message.length > 10)
      return undefined;
    throw error;
  }
}

const buffers = (...texts: readonly string[]): Buffer[] => texts.map((text) => Buffer.from(text, "latin1"));
const digest = `sha256:${"a1".repeat(32)}`;

test("references: what is taken is normal, and is read again as the same", (t) => {
  run(t, 10_000, {
    corpus: buffers(
      "busybox",
      "host.com:5000/a/b__c:tag",
      `[::1]:5/x@${digest}`,
      `a/b:t@${digest}`,
      "index.docker.io/x",
    ),
    words: buffers("docker.io/", "localhost/", ":", "@", "/", "..", "_", "__", "-", digest, "sha256:", "[", "]", "A"),
    check(input) {
      const text = input.toString("latin1");
      const reference = refusable(() => parseReference(text));
      if (reference === undefined) return;
      const whole = formatReference(reference);
      assert.deepEqual(parseReference(whole), reference);
      assert.match(whole, /^[A-Za-z0-9.:[\]-]+\/[a-z0-9._/-]+(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$/);
      assert.ok(!reference.repository.split("/").some((part) => part === "" || part === "." || part === ".."));
    },
  });
});

const descriptor = (type: string, more = ""): string =>
  `{"mediaType":"application/vnd.oci.image.${type}","digest":"${digest}","size":3${more}}`;
const configType = "config.v1+json";
const layerType = "layer.v1.tar+gzip";

test("manifests, indexes, configs and artifacts are read whole or refused", (t) => {
  run(t, 3000, {
    corpus: buffers(
      `{"schemaVersion":2,"config":${descriptor(configType)},"layers":[${descriptor(layerType)},${descriptor(layerType)}]}`,
      `{"schemaVersion":2,"artifactType":"a/b","config":${descriptor("empty")},"layers":[${descriptor("x", ',"annotations":{"org.opencontainers.image.title":"a/b"}')}]}`,
      `{"schemaVersion":1,"fsLayers":[]}`,
      `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}`,
      `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":${descriptor(configType)},"manifests":[]}`,
      'Bearer realm="https://a/t",service="s, \\"q\\"",scope="repository:x:pull", Basic realm=b',
      "linux/arm64/v8",
      `{"schemaVersion":2,"manifests":[${descriptor("manifest.v1+json", ',"platform":{"os":"linux","architecture":"arm","variant":"v7"}')},${descriptor("index.v1+json")}]}`,
      `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["${digest}"]},"config":{"Env":["A=b"],"Cmd":null,"Volumes":{"/v":{}},"Labels":{"a":"b"}},"history":[{"created":"x","empty_layer":true}]}`,
    ),
    words: buffers(
      "null",
      "{}",
      "[]",
      "1e999",
      "-1",
      '"',
      "\\u0000",
      '"__proto__":',
      '"size":',
      '"manifests":',
      '"layers":',
      '"config":',
      '"mediaType":',
      "\xff",
      '"os.features":["x"]',
      "[".repeat(50),
    ),
    check(input) {
      const document = refusable(() => parseManifest(input, "document"));
      if (document?.kind === "index") {
        for (const platform of ["linux/arm/v7", "linux/amd64"])
          refusable(() => chooseManifest(document, parsePlatform(platform), "index"));
      } else if (document !== undefined) {
        refusable(() => checkRunnable(document, "image"));
        for (const { path } of refusable(() => artifactFiles(document.layers, "artifact")) ?? [])
          assert.ok(!path.startsWith("/") && !path.split("/").includes(".."));
      }
      const config = refusable(() => parseImageConfig(input, "config"));
      if (config !== undefined) assert.equal(chainIdsOf(config.rootfs.diff_ids).length, config.rootfs.diff_ids.length);
      refusable(() => parsePlatform(input.toString("latin1").slice(0, 40)));
      parseChallenges(input.toString("latin1"));
    },
  });
});

/** What a reader tells its sink, in one line a call; pieces of one member joined. */
function eventsOf(pieces: readonly Buffer[]): string[] {
  const events: string[] = [];
  let current: TarEntry | undefined;
  let at = 0;
  const reader = new TarReader({
    entry(entry) {
      assert.equal(current, undefined, "the member before has ended");
      assert.ok(Number.isSafeInteger(entry.size) && entry.size >= 0, "a size");
      assert.ok(Number.isFinite(entry.mtime) && entry.mode <= 0o7777);
      assert.ok(entry.name.length <= 4096 && !entry.name.includes("\0"));
      current = entry;
      at = 0;
      const { xattrs, mtimeNs, ...rest } = entry;
      events.push(JSON.stringify({ ...rest, mtimeNs: String(mtimeNs), xattrs: [...xattrs].map(String) }), "");
    },
    data(piece, offset) {
      assert.ok(offset >= at && offset + piece.length <= (current?.size ?? -1), "content lies in the file, in order");
      at = offset + piece.length;
      const text = events.pop() ?? "";
      events.push(
        text + (text === "" || !text.endsWith(`@${offset}`) ? `|${offset}:` : text) + piece.toString("base64url"),
      );
    },
    end() {
      current = undefined;
      events.push("end");
    },
  });
  try {
    for (const piece of pieces) reader.write(piece);
    reader.end();
  } catch (error) {
    if (!isTripodError(error, "invalid")) throw error;
    events.push(error.message);
  }
  return events;
}

test("tar archives give well-formed members, or are refused, and always an end", (t) => {
  const members = (events: readonly string[]): string[] => events.filter((event) => !event.startsWith("|"));
  run(t, 3000, {
    corpus: tarCorpus,
    words: tarWords,
    mend: mendChecksums,
    check(input, random) {
      const whole = eventsOf([input]);
      const pieces: Buffer[] = [];
      for (let at = 0; at < input.length; ) {
        const length = 1 + random.below(random.pick([7, 600, 5000]));
        pieces.push(input.subarray(at, at + length));
        at += length;
      }
      assert.deepEqual(members(eventsOf(pieces)), members(whole), "whatever the pieces it comes in");
    },
  });
});

test("layers and their whiteouts stay in their folder, are counted, or are refused", async (t) => {
  await using root = tempRoot();
  const top = join(root.path, "top");
  mkdirSync(top);
  mountTmpfs(top); // thousands of files, none of which is to reach a disk
  writeFileSync(join(top, "outside"), "untouched");
  run(t, 2500, {
    corpus: tarCorpus,
    words: tarWords,
    mend: mendChecksums,
    check(input, _random: SeededRandom) {
      const dir = mkdtempSync(join(top, "layer-"));
      const writer = new LayerWriter(dir, { unpackedBytes: 4 * 1024 * 1024, entries: 200 });
      const reader = new TarReader(writer);
      const contents = refusable(() => {
        try {
          reader.write(input);
          reader.end();
          return writer.finish();
        } catch (error) {
          writer.abandon();
          throw refusalOf(error) ?? error;
        }
      });
      if (contents !== undefined)
        assert.deepEqual(
          measureTree(dir),
          { bytes: contents.bytes, inodes: contents.inodes },
          "what is counted is there",
        );
      assert.ok(!readdirSync(dir, { recursive: true }).some((name) => /(^|\/)\.wh\./.test(String(name))));
      rmSync(dir, { recursive: true });
      assert.deepEqual(readdirSync(top), ["outside"]);
    },
  });
});
