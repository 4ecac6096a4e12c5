import assert from "node:assert/strict";
import { test } from "node:test";
import { isTripodError } from "@tripod/base";
import { seededRandom } from "@tripod/testing";
import { digestOf } from "../digest.ts";
import { defaultLayerLimits } from "../unpack/layer-limits.ts";
import { LayerTree } from "./layer-tree.ts";
import { parseToc } from "./layer-toc.ts";

const digest = digestOf("content");
const parse = (entries: unknown, limits = defaultLayerLimits) =>
  parseToc(Buffer.from(JSON.stringify({ version: 1, entries })), {
    dataEnd: 1000,
    compression: "gzip",
    limits,
    where: "toc",
  });
const file = { type: "reg", name: "f", size: 10, offset: 100, chunkDigest: digest };

test("chunks are placed one after the other, each up to where the next data starts", () => {
  const [one, two, none] = parse([
    { ...file, chunkSize: 6 },
    { type: "chunk", name: "f", offset: 200, chunkOffset: 6, chunkSize: 0, chunkDigest: digest },
    { ...file, name: "g", offset: 200, innerOffset: 4, chunkDigest: "", digest },
    { type: "reg", name: "empty", modtime: "2020-01-02T03:04:05.5Z" },
  ]);
  const source = { skip: 0, compression: "gzip" };
  assert.deepEqual(one?.chunks, [
    { offset: 0, length: 6, data: { digest, source: { ...source, start: 100, end: 200 } } },
    { offset: 6, length: 4, data: { digest, source: { ...source, start: 200, end: 1000 } } },
  ]);
  assert.deepEqual(two?.chunks, [
    { offset: 0, length: 10, data: { digest, source: { ...source, start: 200, end: 1000, skip: 4 } } },
  ]);
  assert.deepEqual(none?.chunks, []);
  assert.equal(none?.entry.mtimeNs, BigInt(Date.UTC(2020, 0, 2, 3, 4, 5)) * 1_000_000n + 500_000_000n);
});

for (const [why, entries] of [
  ["no list", {}],
  ["an entry that is none", [3]],
  ["no type known", [{ type: "socket", name: "f" }]],
  ["a name that was no text", [{ type: "dir", name: "a\ufffd" }]],
  ["a name with a NUL", [{ type: "dir", name: "a\0b" }]],
  ["a size below nothing", [{ ...file, size: -1 }]],
  ["a size that is no whole number", [{ ...file, size: 1.5 }]],
  ["an owner that is none", [{ type: "dir", name: "d", uid: 2 ** 32 }]],
  ["a time of another form", [{ type: "dir", name: "d", modtime: "2020-01-02" }]],
  ["a time that is none", [{ type: "dir", name: "d", modtime: "yesterday" }]],
  ["a chunk before any file", [{ type: "chunk", name: "f", chunkDigest: digest }]],
  ["a chunk of another file", [file, { type: "chunk", name: "g", chunkDigest: digest }]],
  [
    "chunks with a gap",
    [
      { ...file, chunkSize: 4 },
      { type: "chunk", name: "f", chunkOffset: 5, chunkDigest: digest },
    ],
  ],
  ["chunks that go back", [file, { type: "chunk", name: "f", chunkOffset: 0, chunkDigest: digest }]],
  ["a chunk beyond the file", [file, { type: "chunk", name: "f", chunkOffset: 10, chunkDigest: digest }]],
  ["a file that begins late", [{ ...file, chunkOffset: 1 }]],
  ["a chunk without a digest", [{ ...file, chunkDigest: undefined }]],
  ["a digest that is none", [{ ...file, chunkDigest: "sha256:12" }]],
  ["data where the layer has none", [{ ...file, offset: 1000 }]],
  ["a chunk that is too large", [{ ...file, size: 2 ** 26 }]],
  ["data far inside what is compressed together", [{ ...file, innerOffset: 2 ** 40 }]],
] as const) {
  test(`a table of contents is refused: ${why}`, () =>
    assert.throws(
      () => parse(entries),
      (error) => isTripodError(error, "invalid"),
    ));
}

test("a table of contents of more than the layer's limits is refused", () => {
  assert.throws(
    () => parse([{ ...file, chunkType: "zeros", size: 2 ** 50 }]),
    (error) => isTripodError(error, "exhausted"),
  );
  assert.throws(
    () => parse([file, { ...file, name: "g" }], { ...defaultLayerLimits, entries: 1 }),
    (error) => isTripodError(error, "exhausted"),
  );
});

const tree = (entries: unknown): LayerTree =>
  new LayerTree(parse(entries), { below: () => undefined, chunk: async () => Buffer.alloc(0) });

for (const [why, entries] of [
  ["a name that leads out", [{ ...file, name: "../f" }]],
  ["a file in a file", [file, { ...file, name: "f/g" }]],
  [
    "a file in a symbolic link",
    [
      { type: "symlink", name: "l", linkName: "/etc" },
      { ...file, name: "l/g" },
    ],
  ],
  ["a hard link to nothing", [{ type: "hardlink", name: "l", linkName: "f" }]],
  [
    "a hard link to a folder",
    [
      { type: "dir", name: "d" },
      { type: "hardlink", name: "l", linkName: "d" },
    ],
  ],
  ["a hard link out of the layer", [{ type: "hardlink", name: "l", linkName: "../../f" }]],
  ["a symbolic link without a target", [{ type: "symlink", name: "l" }]],
  ["a root that is no folder", [{ ...file, name: "./" }]],
  ["a whiteout of the folder itself", [{ type: "reg", name: "d/.wh..", size: 0 }]],
] as const) {
  test(`a tree is refused: ${why}`, () =>
    assert.throws(
      () => tree(entries),
      (error) => isTripodError(error, "invalid"),
    ));
}

test("zeros are read without any data, whatever their number", async () => {
  const zeros = tree([{ type: "reg", name: "z", size: 2 ** 35, chunkType: "zeros", chunkSize: 2 ** 35 }]);
  const ino = zeros.lookup(2, Buffer.from("z"))?.ino ?? 0;
  const signal = new AbortController().signal;
  assert.deepEqual(await zeros.read(ino, { offset: 2 ** 35 - 3, length: 100 }, signal), Buffer.alloc(3));
});

test("tables of contents with anything in them are read or refused, and nothing else", () => {
  const random = seededRandom(Number(process.env["TRIPOD_FUZZ_SEED"] ?? 1));
  const whole = [
    { type: "dir", name: "d/", mode: 0o755, uid: 1 },
    { ...file, name: "d/f", xattrs: { "user.a": "Yg==" } },
    { type: "chunk", name: "d/f", offset: 200, chunkOffset: 6, chunkDigest: digest },
    { type: "hardlink", name: "h", linkName: "d/f" },
    { type: "symlink", name: "s", linkName: "d" },
    { type: "reg", name: "d/.wh.gone" },
    { type: "char", name: "c", devMajor: 1, devMinor: 3 },
  ];
  const odd = [null, -1, 2 ** 60, 0.5, "", "..", "/", "d/../..", ".wh..wh..opq", "a\0", [], {}, true, "9".repeat(5000)];
  let read = 0;
  for (let round = 0; round < 3000; round += 1) {
    const entries: Record<string, unknown>[] = structuredClone(whole);
    for (let change = random.below(3); change >= 0; change -= 1) {
      const entry = random.pick(entries);
      const keys = [...Object.keys(entry), "innerOffset", "endOffset", "chunkType", "modtime"];
      entry[random.pick(keys)] =
        random.below(2) === 0 ? random.pick<unknown>(odd) : random.pick<unknown>(Object.values(random.pick(whole)));
    }
    try {
      const made = tree(entries);
      read += 1;
      const pending = [2];
      for (let ino = pending.pop(), seen = 0; ino !== undefined && seen < 100; ino = pending.pop(), seen += 1) {
        for (const child of made.entries(ino)) {
          const { mode = 0 } = made.attributes(child.ino) ?? {};
          assert.deepEqual(made.lookup(ino, child.name)?.ino, child.ino);
          if ((mode & 0o170000) === 0o040000) pending.push(child.ino);
        }
      }
    } catch (error) {
      assert(isTripodError(error, "invalid", "exhausted"), `round ${round}: ${String(error)}`);
    }
  }
  assert(read > 100 && read < 2900, `${read} were read`);
});
