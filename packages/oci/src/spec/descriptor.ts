import { TripodError } from "@tripod/base";
import { type Digest, parseDigest } from "../digest.ts";
import { objectAt, optionalStringAt, stringAt, stringMapAt } from "./json.ts";
import { type Platform, parsePlatformObject } from "./platform.ts";

/** What one blob is (OCI image spec, descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly platform?: Platform;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Of a manifest in an index: what it holds when it is no container image. */
  readonly artifactType?: string;
}

/** No blob may claim to be larger. */
const maxBlobBytes = 256 * 1024 ** 3;

/** Checks a descriptor found at `where` of an untrusted document. */
export function parseDescriptor(value: unknown, where: string): Descriptor {
  const object = objectAt(value, where);
  const size = object.size;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0 || size > maxBlobBytes) {
    throw new TripodError(
      "invalid",
      `${where}.size: ${String(size)} is not a size between 0 and ${maxBlobBytes} bytes`,
    );
  }
  return {
    mediaType: optionalStringAt(object.mediaType, `${where}.mediaType`) ?? "",
    digest: parseDigest(stringAt(object.digest, `${where}.digest`), `${where}.digest`),
    size,
    ...(object.platform == null ? {} : { platform: parsePlatformObject(object.platform, `${where}.platform`) }),
    ...(object.annotations == null ? {} : { annotations: stringMapAt(object.annotations, `${where}.annotations`) }),
    ...(object.artifactType == null ? {} : { artifactType: stringAt(object.artifactType, `${where}.artifactType`) }),
  };
}
