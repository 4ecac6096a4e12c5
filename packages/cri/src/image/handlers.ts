import { type AuthConfig, type ImageFilter, type ImageService, type ImageSpec } from "@tripod/api/cri";
import { isTripodError, TripodError } from "@tripod/base";
import { type ServiceImpl, WordedError } from "@tripod/grpc";
import { type Image, type RegistryAuth, signatureFailure } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import { nowNs } from "../now.ts";
import { startsLazily } from "./lazy-start.ts";
import { imageItem } from "./view.ts";

function nameIn(image: ImageSpec | undefined, what: string): string {
  if (image === undefined || image.image === "") throw new TripodError("invalid", `${what}: no image is named`);
  return image.image;
}

const authOf = (auth: AuthConfig | undefined): { readonly auth?: RegistryAuth } =>
  auth === undefined
    ? {}
    : {
        auth: {
          username: auth.username,
          password: auth.password,
          auth: auth.auth,
          identityToken: auth.identityToken,
          registryToken: auth.registryToken,
          ...(auth.serverAddress !== "" && { serverAddress: auth.serverAddress }),
        },
      };

function selectImages(context: CriContext, filter: ImageFilter | undefined): Image[] {
  const name = filter?.image?.image ?? "";
  if (name === "") return context.images.list();
  const image = context.images.get(name);
  return image === undefined ? [] : [image];
}

/** The failures of a pull that a kubelet shows by a word of their own. */
function inKubeletsWords(error: unknown): unknown {
  if (!isTripodError(error)) return error;
  if (error.detail.reason === signatureFailure) return new WordedError(signatureFailure, error);
  return error.code === "unavailable" ? new WordedError("RegistryUnavailable", error) : error;
}

/** What only people ask for; with how far an image has come that is used before it is whole, or why it is not. */
function verboseInfo({ images }: CriContext, { chainId, config, layers, lazy, wholeBecause }: Image): object {
  const blobs = new Set(layers.map(({ digest }) => digest));
  const coming = lazy === true ? images.lazyLayers().filter(({ blob }) => blobs.has(blob)) : undefined;
  return {
    chainId,
    imageSpec: config,
    ...(coming !== undefined && { coming }),
    ...(wholeBecause !== undefined && { wholeBecause }),
  };
}

/** ImageService, whole. */
export const imageHandlers = (context: CriContext) =>
  ({
    async listImages({ filter }) {
      return { images: selectImages(context, filter).map(imageItem) };
    },
    async *streamImages({ filter }) {
      for (const image of selectImages(context, filter)) yield { images: [imageItem(image)] };
    },
    async imageStatus({ image: spec, verbose }) {
      const image = context.images.get(nameIn(spec, "ImageStatus"));
      if (image === undefined) return {}; // absent is an empty reply, not an error
      return {
        image: imageItem(image),
        info: verbose ? { info: JSON.stringify(verboseInfo(context, image)) } : {},
      };
    },
    async pullImage({ image, auth, sandboxConfig }, { signal }) {
      const name = nameIn(image, "PullImage");
      const annotations = { ...image?.annotations, ...sandboxConfig?.annotations };
      const lazy = startsLazily(context.config.lazyStart ?? "off", annotations);
      try {
        const pulled = await context.images.pull(name, { ...authOf(auth), signal, ...(lazy && { lazy: {} }) });
        if (lazy && pulled.wholeBecause !== undefined)
          context.log.info(
            { image: name, why: pulled.wholeBecause },
            "an image was fetched whole before it can be used",
          );
        return { imageRef: pulled.id };
      } catch (error) {
        throw inKubeletsWords(error);
      }
    },
    async removeImage({ image: spec }) {
      await context.images.remove(nameIn(spec, "RemoveImage"));
      return {};
    },
    async imageFsInfo() {
      const { bytes, inodes, mountpoint } = await context.images.fsUsage();
      const usage = {
        timestamp: nowNs(),
        fsId: { mountpoint },
        usedBytes: { value: BigInt(bytes) },
        inodesUsed: { value: BigInt(inodes) },
      };
      const writable = await Promise.all(
        context.images.listRootfs().map(({ containerId }) => context.writableUsages.get(containerId)),
      );
      const sum = (key: "bytes" | "inodes"): bigint =>
        BigInt(writable.reduce((total, one) => total + (one?.[key] ?? 0) + (one?.copied[key] ?? 0), 0));
      return {
        imageFilesystems: [usage],
        containerFilesystems: [
          {
            timestamp: nowNs(),
            // Writable layers lie beside the images' own, on the same file system.
            fsId: { mountpoint },
            usedBytes: { value: sum("bytes") },
            inodesUsed: { value: sum("inodes") },
          },
        ],
      };
    },
  }) satisfies ServiceImpl<typeof ImageService>;
