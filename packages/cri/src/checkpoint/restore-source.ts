import { isAbsolute } from "node:path";
import { TripodError } from "@tripod/base";
import type { Image } from "@tripod/oci";
import type { CriContext } from "../context.ts";

/** Where a container's checkpoint comes from. */
export type RestoreSource =
  | { readonly kind: "archive"; readonly path: string }
  | { readonly kind: "image"; readonly image: Image };

/** The annotations by which the makers of images say that one holds a checkpoint: of CRI-O since 1.32 and containerd, and of CRI-O before. */
const annotationNames = ["org.criu.checkpoint.container.name", "io.kubernetes.cri-o.annotations.checkpoint.name"];

async function holdsCheckpoint(context: CriContext, image: Image): Promise<boolean> {
  // What is run mostly says what of it, so that nothing has to be read of that; a checkpoint's image is made of nothing.
  const { Entrypoint = [], Cmd = [] } = image.config.config ?? {};
  if (image.artifact !== undefined || (Entrypoint ?? []).length > 0 || (Cmd ?? []).length > 0) return false;
  const document: unknown = JSON.parse((await context.images.document(image.id, "manifest")).toString());
  const annotations: unknown = Reflect.get(Object(document), "annotations");
  return annotationNames.some((name) => typeof Reflect.get(Object(annotations), name) === "string");
}

/**
 * The checkpoint that the image's name means: an archive by its absolute path, or an image with the annotation of one. Undefined for the
 * images that are run, "failed-precondition" when this node restores nothing.
 */
export async function restoreSourceOf(context: CriContext, name: string): Promise<RestoreSource | undefined> {
  const image = isAbsolute(name) ? undefined : context.images.get(name);
  const source: RestoreSource | undefined = isAbsolute(name)
    ? { kind: "archive", path: name }
    : image !== undefined && (await holdsCheckpoint(context, image))
      ? { kind: "image", image }
      : undefined;
  if (source !== undefined) requireRestores(context, name);
  return source;
}

/** "failed-precondition" when this node restores nothing. */
export function requireRestores(context: CriContext, name: string): void {
  if (context.config.restoreCheckpoints === true) return;
  const why = "a checkpoint says with which rights its processes run, so restoring one is for the operator to allow";
  throw new TripodError("failed-precondition", `restore ${name}: ${why}; set cri.restoreCheckpoints`);
}
