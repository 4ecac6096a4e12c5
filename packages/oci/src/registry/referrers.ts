import { TripodError } from "@tripod/base";
import { type Digest, digestOf } from "../digest.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { maxManifestBytes, parseManifest } from "../spec/manifest.ts";
import { manifestTypes, mediaTypes } from "../spec/media-types.ts";
import { readBody } from "./exchange.ts";
import type { HostSession } from "./host-session.ts";
import { nextPage } from "./next-page.ts";

/** No subject has more manifests that refer to it; a registry that goes on for ever is refused. */
const maxPages = 20;

export interface ReferrersQuery {
  readonly repository: string;
  readonly digest: Digest;
  readonly artifactType?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The manifests that say they refer to `digest`: by the referrers API, or, where a registry does not know it, from the index that
 * clients keep under the tag "sha256-HEX". None is an empty list.
 */
export async function listReferrers(session: HostSession, query: ReferrersQuery): Promise<Descriptor[]> {
  const { repository, digest, artifactType, signal } = query;
  const what = `list what refers to ${digest} at ${session.name}`;
  const common = {
    method: "GET" as const,
    headers: { accept: manifestTypes.join(", ") },
    scopes: [`repository:${repository}:pull`],
    signal,
  };
  const found: Descriptor[] = [];
  let next: string | URL = `/${repository}/referrers/${digest}`;
  for (let page = 0; page < maxPages; page += 1) {
    const filter = page === 0 && artifactType !== undefined ? { query: { artifactType } } : {};
    const reply = await session.request({ ...common, ...filter, path: next, accept: [200, 404] });
    const bytes = await readBody(reply.body, maxManifestBytes, what);
    if (reply.status === 404 && page === 0) return byTag();
    found.push(...indexed(bytes, what));
    const more = nextPage(reply, session.base);
    if (more === undefined) return wanted(found);
    next = more;
  }
  throw new TripodError("invalid", `${what}: there are more than ${maxPages} pages`);

  async function byTag(): Promise<Descriptor[]> {
    const path = `/${repository}/manifests/${digest.replace(":", "-")}`;
    const reply = await session.request({ ...common, path, accept: [200, 404] });
    const bytes = await readBody(reply.body, maxManifestBytes, what);
    return reply.status === 404 ? [] : wanted(indexed(bytes, what));
  }

  /** Registries may filter, or not. */
  function wanted(descriptors: readonly Descriptor[]): Descriptor[] {
    return descriptors.filter((item) => artifactType === undefined || item.artifactType === artifactType);
  }
}

function indexed(bytes: Buffer, what: string): readonly Descriptor[] {
  const document = parseManifest(bytes, `${what}: ${digestOf(bytes)}`, mediaTypes.ociIndex);
  if (document.kind === "index") return document.manifests;
  throw new TripodError("invalid", `${what}: the answer is not an index`);
}
