import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import type { LayerMember } from "../build/layer-tar.ts";
import { digestOf } from "../digest.ts";
import { plainEntry } from "../tar/tar-header.ts";
import { parseFooter } from "./estargz-footer.ts";
import { estargzChunkBytes, type EstargzFacts, writeEstargz } from "./write-estargz.ts";

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function written(members: readonly LayerMember[]): Promise<{ blob: Buffer; facts: EstargzFacts }> {
  const parts: Buffer[] = [];
  const source = writeEstargz(members);
  let step = await source.next();
  for (; step.done !== true; step = await source.next()) parts.push(step.value);
  return { blob: Buffer.concat(parts), facts: step.value };
}

test("a layer is a tar.gz with a table of contents, by which each chunk can be had alone", async () => {
  const big = Buffer.concat(
    Array.from({ length: 3 }, (_, index) => createHash("sha512").update(`${index}`).digest()).map((seed) =>
      Buffer.alloc(3_000_000, seed),
    ),
  );
  const small = Buffer.from("hello\n");
  const members: LayerMember[] = [
    { entry: plainEntry("etc/", 0, { type: "directory", mode: 0o755, mtime: 12 }) },
    { entry: plainEntry("etc/motd", small.length, { uid: 1 }), content: pieces(small, 2) },
    { entry: plainEntry("empty", 0) },
    { entry: plainEntry("big", big.length), content: pieces(big, 1_234_567) },
    { entry: plainEntry("link", 0, { type: "symlink", linkName: "etc/motd", mode: 0o777 }) },
    { entry: plainEntry("hard", 0, { type: "link", linkName: "big" }) },
  ];
  const { blob, facts } = await written(members);
  const plain = gunzipSync(blob);
  assert.equal(digestOf(plain), facts.diffId);
  assert.equal(plain.length, facts.uncompressedBytes);

  const tocOffset = parseFooter(blob.subarray(-51)) ?? 0;
  const tocTar = gunzipSync(blob.subarray(tocOffset));
  assert.equal(tocTar.toString("latin1", 0, 18), "stargz.index.json\0");
  const json = tocTar.subarray(512, tocTar.indexOf(0, 512));
  assert.equal(digestOf(json), facts.tocDigest);
  const toc = JSON.parse(json.toString()) as { entries: Record<string, unknown>[] }; // written above
  const { entries } = toc;
  const chunkSizes = [estargzChunkBytes, estargzChunkBytes, big.length - 2 * estargzChunkBytes];
  const place = (bytes: Buffer, offset: unknown, chunkOffset = 0): object => {
    // The member at that offset holds the chunk alone.
    const found = gunzipSync(blob.subarray(Number(offset), tocOffset)).subarray(0, bytes.length);
    assert(found.equals(bytes));
    return { offset, chunkOffset, chunkSize: bytes.length, chunkDigest: digestOf(bytes) };
  };
  const chunks = chunkSizes.map((size, index) => {
    const at = index * estargzChunkBytes;
    return place(big.subarray(at, at + size), entries[index + 3]?.["offset"], at);
  });
  const common = { modtime: "1970-01-01T00:00:00Z", uid: 0, gid: 0 };
  assert.deepEqual(entries, [
    { ...common, name: "etc/", type: "dir", modtime: "1970-01-01T00:00:12Z", mode: 0o755 },
    {
      ...common,
      name: "etc/motd",
      type: "reg",
      size: 6,
      mode: 0o644,
      uid: 1,
      digest: digestOf(small),
      ...place(small, entries[1]?.["offset"]),
    },
    { ...common, name: "empty", type: "reg", size: 0, mode: 0o644 },
    { ...common, ...chunks[0], name: "big", type: "reg", size: big.length, mode: 0o644, digest: digestOf(big) },
    { name: "big", type: "chunk", ...chunks[1] },
    { name: "big", type: "chunk", ...chunks[2] },
    { ...common, name: "link", type: "symlink", linkName: "etc/motd", mode: 0o777 },
    { ...common, name: "hard", type: "hardlink", linkName: "big", mode: 0o644 },
  ]);
});
