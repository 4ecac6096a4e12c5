import type { Digest } from "../digest.ts";
import type { Image } from "../image.ts";
import type { Lease } from "./lease.ts";
import type { Store } from "./store.ts";
import type { Damage } from "./verify-store.ts";

export interface CheckOptions {
  readonly images: readonly Image[];
  /** Comes to hold what is looked at. */
  readonly lease: Lease;
  readonly signal: AbortSignal;
}

/** What people know an image by. */
export const shownName = (image: Image): string => image.repoTags[0] ?? image.repoDigests[0] ?? image.id;

/** Reads every blob: those that images need, and those that only lie there. */
export async function checkBlobs(
  store: Store,
  { images, lease, signal }: CheckOptions,
): Promise<{ readonly count: number; readonly bytes: number; readonly damaged: readonly Damage[] }> {
  const users = blobUsers(store, images);
  const lying = store.content.list().map(({ digest }) => digest);
  lease.hold([...users.keys()]);
  const coming = new Set(store.snapshotter.lazy.layers().map(({ blob }) => blob));
  const damaged: Damage[] = [];
  let [count, bytes] = [0, 0];
  for (const digest of new Set([...users.keys(), ...lying])) {
    const problem = await blobProblem(store, digest, signal);
    const needed = users.get(digest);
    if (problem === "is missing" && (needed === undefined || coming.has(digest))) continue; // collected meanwhile, or served
    count += 1;
    bytes += (await store.content.sizeOf(digest)) ?? 0;
    if (problem !== undefined) damaged.push({ kind: "blob", digest, images: needed ?? [], problem });
  }
  return { count, bytes, damaged };
}

/** What is wrong with a blob; undefined when it is whole. */
export async function blobProblem(store: Store, digest: Digest, signal: AbortSignal): Promise<string | undefined> {
  const found = await store.workers.digest(store.content.pathOf(digest), signal);
  if (found === undefined) return "is missing";
  return found.digest === digest ? undefined : `its ${found.size} bytes have the digest ${found.digest}`;
}

/** Every blob of an image: manifest, config, layers, and the indexes that its names led through. */
export function neededBlobs({ records }: Store, image: Image): Set<Digest> {
  const record = records.images.get(image.id);
  const names = [...image.repoTags, ...image.repoDigests].flatMap((name) => records.names.get(name) ?? []);
  return new Set([
    image.manifest.digest,
    ...(record === undefined ? [] : [record.configDescriptor.digest]),
    ...image.layers.map(({ digest }) => digest),
    ...names.flatMap(({ documents }) => documents),
  ]);
}

/** Which images need a blob, by what they are called. */
function blobUsers(store: Store, images: readonly Image[]): Map<Digest, string[]> {
  const users = new Map<Digest, string[]>();
  for (const image of images) {
    for (const digest of neededBlobs(store, image)) {
      users.set(digest, [...(users.get(digest) ?? []), shownName(image)]);
    }
  }
  return users;
}
