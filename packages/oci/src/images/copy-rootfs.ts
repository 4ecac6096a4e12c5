import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { DiskUsage, Image } from "../image.ts";
import { runMerge } from "../snapshots/run-merge.ts";
import { mountByHand, mountsDir, unmountByHand } from "./mounts.ts";
import type { Store } from "./store.ts";

/** Copies an image's files, as they look mounted, to a folder; what they take there. The mount is on record, so that nothing collects it. */
export async function copyRootfs(
  store: Store,
  image: Image,
  { target, ensureUnpacked }: { readonly target: string; readonly ensureUnpacked: () => Promise<void> },
): Promise<DiskUsage> {
  const mounts = mountsDir(store);
  mkdirSync(mounts, { recursive: true });
  const scratch = mkdtempSync(join(mounts, "copy-"));
  const source = join(scratch, "image");
  try {
    await mountByHand(store, image, { target: source, ensureUnpacked });
    mkdirSync(target, { recursive: true });
    return await runMerge({ lower: [source], into: target, marksFile: join(scratch, "marks"), sync: false });
  } finally {
    unmountByHand(store, { target: source });
    rmSync(scratch, { recursive: true });
  }
}
