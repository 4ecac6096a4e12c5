import { test } from "node:test";
import { type Digest, digestOf } from "../digest.ts";
import type { LayerFacts, Snapshotter } from "./snapshotter.ts";

export interface ConformanceSubject extends AsyncDisposable {
  readonly snapshotter: Snapshotter;
  /** An empty folder for mount points. */
  readonly targets: string;
  /** Opens the same snapshots again, as a process does that comes after a crash. */
  reopen(): Promise<Snapshotter>;
}

export const mebibyte = 1024 * 1024;

export const facts = (name: string, parent?: Digest): LayerFacts => ({
  chainId: digestOf(name),
  parent,
  bytes: 1,
  inodes: 1,
  opaqueRoot: false,
});

export async function commit(
  snapshotter: Snapshotter,
  layer: LayerFacts,
  fill: (dir: string) => Promise<void>,
): Promise<Digest> {
  await using draft = await snapshotter.draft();
  await fill(draft.dir);
  await draft.commit(layer);
  return layer.chainId;
}

type It = (says: string, run: (subject: ConformanceSubject) => Promise<void>) => void;

/** Registers tests, each with a subject of its own. */
export const registrar =
  (name: string, make: () => Promise<ConformanceSubject>): It =>
  (says, run) => {
    test(`${name}: ${says}`, async () => {
      try {
        await using subject = await make();
        await run(subject);
      } catch (error) {
        throw error instanceof SuppressedError ? error.suppressed : error; // what failed first, not what is left of it
      }
    });
  };
