import { type BigIntStats, lstatSync, readdirSync } from "node:fs";
import type { ByteString } from "../tar/tar-entry.ts";
import { bytesOf } from "../unpack/entry-path.ts";

/** Something in a tree: its path below the tree's root ("" is the root itself), and what lstat says. */
export interface TreeItem {
  readonly path: ByteString;
  readonly stat: BigIntStats;
}

/** The path on the disk of something in a tree. */
export const inTree = (root: ByteString, path: ByteString): Buffer => bytesOf(path === "" ? root : `${root}/${path}`);

/** Everything in a tree, each folder before what is in it, in the order of names. Blocks its thread: for workers and tests. */
export function* walkTree(root: ByteString): Generator<TreeItem> {
  const left: ByteString[] = [""];
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    const stat = lstatSync(inTree(root, path), { bigint: true });
    yield { path, stat };
    if (!stat.isDirectory()) continue;
    const names = readdirSync(inTree(root, path), { encoding: "buffer" }).map((name) => name.toString("latin1"));
    for (const name of names.toSorted().toReversed()) left.push(path === "" ? name : `${path}/${name}`);
  }
}
