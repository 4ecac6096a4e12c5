import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Image } from "../image.ts";
import { mountByHand, mountsDir, unmountByHand } from "./mounts.ts";
import type { Store } from "./store.ts";

/** Has an image's files mounted, read-only, while `work` looks at them. The mount is on record, so that nothing collects what it shows. */
export async function withMounted<T>(
  store: Store,
  image: Image,
  {
    ensureUnpacked,
    work,
  }: { readonly ensureUnpacked: () => Promise<void>; readonly work: (folder: string, scratch: string) => Promise<T> },
): Promise<T> {
  const mounts = mountsDir(store);
  mkdirSync(mounts, { recursive: true });
  const scratch = mkdtempSync(join(mounts, "scratch-"));
  const target = join(scratch, "image");
  try {
    await mountByHand(store, image, { target, ensureUnpacked });
    return await work(target, scratch);
  } finally {
    unmountByHand(store, { target });
    rmSync(scratch, { recursive: true });
  }
}
