import { type AuthConfig, type ImageFilter, type ImageService, type ImageSpec } from "@tripod/api/cri";
import { isTripodError, TripodError } from "@tripod/base";
import { type ServiceImpl, WordedError } from "@tripod/grpc";
import { type Image, type RegistryAuth, signatureFailure } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import { nowNs } from "../now.ts";
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
        info: verbose ? { info: JSON.stringify({ chainId: image.chainId, imageSpec: image.config }) } : {},
      };
    },
    async pullImage({ image, auth }, { signal }) {
      const name = nameIn(image, "PullImage");
      try {
        return { imageRef: (await context.images.pull(name, { ...authOf(auth), signal })).id };
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
