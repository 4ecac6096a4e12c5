import { TripodError } from "@tripod/base";
import type { Digest } from "../digest.ts";
import type { RegistryClient } from "../registry/registry-client.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { chooseManifest, type Manifest, maxManifestBytes, parseManifest } from "../spec/manifest.ts";
import type { Platform } from "../spec/platform.ts";
import type { Lease } from "./lease.ts";
import type { Store } from "./store.ts";

/** Indexes in indexes deeper than this are refused. */
const maxNesting = 4;

interface ResolveOptions {
  readonly client: RegistryClient;
  readonly lease: Lease;
  readonly target: Digest;
  readonly platform: Platform;
  readonly whole: string;
}

/** Goes from the target through indexes to the manifest for the platform; all documents are in the store then. */
export async function resolveManifest(
  store: Store,
  { client, lease, target, platform, whole }: ResolveOptions,
): Promise<{ manifest: Manifest; descriptor: Descriptor; documents: Digest[] }> {
  const documents: Digest[] = [];
  let digest = target;
  let type = "";
  for (let depth = 0; depth < maxNesting; depth += 1) {
    lease.hold([digest]);
    documents.push(digest);
    let bytes = await store.content.read(digest, maxManifestBytes);
    if (bytes === undefined) {
      const fetched = await client.manifest(digest);
      bytes = fetched.bytes;
      type ||= fetched.mediaType;
      await store.content.put(bytes);
    }
    const document = parseManifest(bytes, `${whole}: manifest ${digest}`, type);
    if (document.kind === "manifest") {
      return {
        manifest: document,
        descriptor: { mediaType: document.mediaType, digest, size: bytes.byteLength },
        documents,
      };
    }
    const chosen = chooseManifest(document, platform, whole);
    digest = chosen.digest;
    type = chosen.mediaType;
  }
  throw new TripodError("invalid", `${whole}: more than ${maxNesting} indexes are nested in one another`);
}
