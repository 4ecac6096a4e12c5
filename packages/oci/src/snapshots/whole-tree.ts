import { existsSync, linkSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { failpoint, isNodeError } from "@tripod/base";
import { createSubvolume, snapshotSubvolume } from "@tripod/linux";
import type { DiskUsage } from "../image.ts";
import type { Owners } from "./merge-layers.ts";
import { removeHome } from "./remove-home.ts";
import { runMerge } from "./run-merge.ts";

/**
 * Layers merged to one plain tree. In the folder that is its home: `root` the files, `marks` their state when it was made (tree-marks.ts),
 * `tree.json` the facts below.
 */
export interface WholeTree {
  readonly root: string;
  readonly marks: string;
  /** What it took on the disk when it was made; nothing for what it shares with others. */
  readonly copied: DiskUsage;
  /** Owners on the disk are the user namespace's already. */
  readonly shifted: boolean;
}

/** The tree whose home is `home`; undefined when none, or not all of one, is there. */
export function wholeTreeIn(home: string): WholeTree | undefined {
  const file = join(home, "tree.json");
  if (!existsSync(file)) return undefined;
  // Written by this file alone, before the folder gets its name.
  const facts = JSON.parse(readFileSync(file, "utf8")) as Pick<WholeTree, "copied" | "shifted">;
  return { ...facts, root: join(home, "root"), marks: join(home, "marks") };
}

function writeFacts(making: string, facts: Pick<WholeTree, "copied" | "shifted">): void {
  writeFileSync(join(making, "tree.json"), JSON.stringify(facts), { mode: 0o600 });
}

export interface CopyTreeOptions {
  /** Folders of layers, topmost first. */
  readonly lower: readonly string[];
  readonly owners?: Owners | undefined;
  /** Where it is made; what is there of an earlier attempt goes. */
  readonly making: string;
  readonly subvolume?: boolean;
  /** It is to outlive a power cut. */
  readonly sync?: boolean;
}

/** Makes a tree of layers, named `home` once it is whole; one that somebody else has made meanwhile wins. */
export async function copyTree(home: string, options: CopyTreeOptions): Promise<WholeTree> {
  const { making, lower, owners } = options;
  await removeHome(making);
  mkdirSync(making, { mode: 0o700 });
  const root = join(making, "root");
  if (options.subvolume === true) await createSubvolume(root);
  else mkdirSync(root, { mode: 0o755 });
  failpoint("oci.tree.begun");
  const merge = { lower, owners, into: root, marksFile: join(making, "marks"), sync: options.sync ?? false };
  writeFacts(making, { copied: await runMerge(merge), shifted: owners !== undefined });
  failpoint("oci.tree.copied");
  return await settle(making, home);
}

/** Makes a tree that shares all with `from`, which is a subvolume of btrfs. */
export async function snapshotTree(home: string, from: WholeTree, making: string): Promise<WholeTree> {
  await removeHome(making);
  mkdirSync(making, { mode: 0o700 });
  await snapshotSubvolume(from.root, join(making, "root"));
  failpoint("oci.tree.snapshotted");
  linkSync(from.marks, join(making, "marks")); // a snapshot keeps inode numbers and times
  writeFacts(making, { copied: { bytes: 0, inodes: 0 }, shifted: from.shifted });
  return await settle(making, home);
}

async function settle(making: string, home: string): Promise<WholeTree> {
  try {
    await rename(making, home);
  } catch (error) {
    if (!isNodeError(error, "ENOTEMPTY", "EEXIST") || !existsSync(join(home, "tree.json"))) throw error;
    await removeHome(making);
  }
  const tree = wholeTreeIn(home);
  if (tree === undefined) throw new Error(`${home}: it went away while it was made`);
  return tree;
}
