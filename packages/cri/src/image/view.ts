import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ImageSchema } from "@tripod/api/cri";
import type { Image } from "@tripod/oci";

/** `User` of an image as CRI tells it apart: a number is a uid, anything else a name; a group is left out. */
export function imageUser(user: string | undefined): {
  readonly uid?: { readonly value: bigint };
  readonly username?: string;
} {
  const [name = ""] = (user ?? "").split(":", 1);
  if (name === "") return { uid: { value: 0n } };
  return /^\d+$/.test(name) ? { uid: { value: BigInt(name) } } : { username: name };
}

/** An image as ListImages and ImageStatus show it. */
export const imageItem = (image: Image): MessageInitShape<typeof ImageSchema> => ({
  id: image.id,
  repoTags: [...image.repoTags],
  repoDigests: [...image.repoDigests],
  size: BigInt(image.sizeBytes),
  ...imageUser(image.config.config?.User),
  spec: { image: image.id, annotations: {} },
  pinned: image.pinned,
});
