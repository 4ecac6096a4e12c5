import { parseQuantity } from "@tripod/api/quantity";
import { messageOf, TripodError } from "@tripod/base";
import { checkWritableLimit, type WritableLimit } from "@tripod/oci";
import type { CriConfig } from "../cri-config.ts";

/** The Pod annotation by which users set the limit, for each of its containers or, with "/NAME", for one. */
const annotation = "max-size.storage.tripod.dev";

const nanoPerOne = 1_000_000_000n;

/** What a container may write into its root file system: as the Pod says where the operator lets it, else as the operator does. */
export function writableLimitOf(
  { writableLayer = {} }: CriConfig,
  pod: { readonly annotations: Readonly<Record<string, string>>; readonly container: string },
): WritableLimit {
  const key = [`${annotation}/${pod.container}`, annotation].find((name) => pod.annotations[name] !== undefined);
  if (key === undefined) return writableLayer.maxSizeBytes === undefined ? {} : limit(writableLayer.maxSizeBytes);
  if (writableLayer.allowAnnotation !== true) {
    throw new TripodError(
      "failed-precondition",
      `writable layer: the Pod sets its size by ${key}, which this node does not allow; set writableLayer.allowAnnotation`,
    );
  }
  try {
    const { nano } = parseQuantity(pod.annotations[key] ?? "");
    return limit(nano % nanoPerOne === 0n ? Number(nano / nanoPerOne) : Number.NaN);
  } catch (cause) {
    throw new TripodError("invalid", `annotation ${key}: ${messageOf(cause)}`, { cause });
  }
}

function limit(maxSizeBytes: number): WritableLimit {
  checkWritableLimit(maxSizeBytes);
  return { maxSizeBytes };
}
