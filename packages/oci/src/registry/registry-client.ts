import { isTripodError, messageOf, TripodError } from "@tripod/base";
import type { Ingest } from "../content/ingest.ts";
import { type Digest, digestOf, isDigest, parseDigest } from "../digest.ts";
import type { RegistryAuth } from "../image.ts";
import type { ImageReference } from "../reference.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { manifestTypes } from "../spec/media-types.ts";
import { maxManifestBytes } from "../spec/manifest.ts";
import { credentialsFor } from "./credentials.ts";
import { readBody } from "./exchange.ts";
import { fetchBlob } from "./fetch-blob.ts";
import { type ByteRange, fetchRange } from "./fetch-range.ts";
import { HostSession } from "./host-session.ts";
import { listReferrers } from "./referrers.ts";
import type { Capability, RegistryHost } from "./registry-host.ts";

/** A manifest as a registry gave it: its bytes hash to `digest`. */
export interface FetchedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

export interface RegistryClientOptions {
  readonly reference: ImageReference;
  /** In the order in which they are asked. */
  readonly hosts: readonly RegistryHost[];
  readonly auth?: RegistryAuth | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Speaks OCI's distribution API about one repository, over its mirrors and its registry in turn. */
export class RegistryClient implements Disposable {
  readonly #sessions: readonly HostSession[];
  readonly #repository: string;
  readonly #signal: AbortSignal | undefined;

  constructor({ reference, hosts, auth, signal }: RegistryClientOptions) {
    const credentials = credentialsFor(auth, reference.host);
    this.#sessions = hosts.map((host) => new HostSession(host, { credentials, namespace: reference.host }));
    this.#repository = reference.repository;
    this.#signal = signal;
  }

  /** The sessions that may be used for something; an error when the configuration leaves none. */
  sessions(capability: Capability): HostSession[] {
    const found = this.#sessions.filter(({ host }) => host.capabilities.has(capability));
    if (found.length > 0) return found;
    throw new TripodError(
      "failed-precondition",
      `no registry host may be used to ${capability}; look at its hosts.toml`,
    );
  }

  /** Which manifest a tag means now. Asks with HEAD, which registries do not count against pull limits. */
  resolve(tag: string): Promise<{ digest: Digest; fetched?: FetchedManifest }> {
    return this.#first("resolve", async (session) => {
      const reply = await session
        .request({ ...this.#manifestRequest("HEAD", tag), accept: [200] })
        .catch((error: unknown) => {
          // HEAD's errors have no body: let GET bring the reason. Some servers do not know HEAD at all.
          if (isTripodError(error, "timeout", "unavailable", "cancelled", "exhausted") || !isTripodError(error))
            throw error;
          return undefined;
        });
      reply?.body.resume();
      const digest = String(reply?.headers["docker-content-digest"] ?? "");
      if (isDigest(digest)) return { digest };
      const fetched = await this.#get(session, tag);
      return { digest: fetched.digest, fetched };
    });
  }

  /** The manifest with this digest, verified. */
  manifest(digest: Digest): Promise<FetchedManifest> {
    return this.#first("pull", async (session) => {
      const fetched = await this.#get(session, digest);
      if (fetched.digest === digest) return fetched;
      throw new TripodError(
        "corrupt",
        `fetch manifest ${digest} from ${session.name}: what came has the digest ${fetched.digest}`,
      );
    });
  }

  /** The manifest that a tag means, or with this digest; undefined when no host has it. */
  async find(tagOrDigest: string): Promise<FetchedManifest | undefined> {
    try {
      return isDigest(tagOrDigest)
        ? await this.manifest(tagOrDigest)
        : await this.#first("resolve", (session) => this.#get(session, tagOrDigest));
    } catch (error) {
      if (isTripodError(error, "not-found")) return undefined;
      throw error;
    }
  }

  /** A small blob's bytes, verified; it is not kept. */
  document(blob: Descriptor, limitBytes: number): Promise<Buffer> {
    return this.#first("pull", async (session) => {
      const what = `fetch ${blob.digest} from ${session.name}`;
      if (blob.size > limitBytes)
        throw new TripodError("invalid", `${what}: ${blob.size} bytes are too many for what it is`);
      const reply = await session.request({
        method: "GET",
        path: `/${this.#repository}/blobs/${blob.digest}`,
        accept: [200],
        scopes: [`repository:${this.#repository}:pull`],
        signal: this.#signal,
      });
      const bytes = await readBody(reply.body, blob.size, what);
      if (bytes.length === blob.size && digestOf(bytes) === blob.digest) return bytes;
      throw new TripodError("corrupt", `${what}: what came has the digest ${digestOf(bytes)}`);
    });
  }

  /** Descriptors of the manifests whose `subject` is `digest` (distribution spec, "Listing Referrers"), filtered by artifactType if given. */
  referrers(digest: Digest, artifactType?: string): Promise<Descriptor[]> {
    return this.#first("resolve", (session) =>
      listReferrers(session, { repository: this.#repository, digest, artifactType, signal: this.#signal }),
    );
  }

  /** Downloads a blob and commits it. */
  async blob(
    blob: Descriptor,
    options: { ingest: Ingest; onBytes?: (doneBytes: number) => void; signal?: AbortSignal },
  ): Promise<void> {
    const { signal = this.#signal, ...rest } = options;
    const ask = (session: HostSession): Promise<void> =>
      fetchBlob(session, blob, { ...rest, signal, repository: this.#repository });
    await this.#first("pull", ask, signal);
  }

  /** A part of a blob, as it comes: only who knows what it should be can verify it. "unimplemented" where no host gives parts. */
  range(blob: Descriptor, range: ByteRange, signal?: AbortSignal): Promise<Buffer> {
    return this.#first(
      "pull",
      (session) => fetchRange(session, blob, { range, repository: this.#repository, signal }),
      signal,
    );
  }

  #manifestRequest(method: "GET" | "HEAD", tagOrDigest: string) {
    return {
      method,
      path: `/${this.#repository}/manifests/${tagOrDigest}`,
      headers: { accept: manifestTypes.join(", ") },
      scopes: [`repository:${this.#repository}:pull`],
      signal: this.#signal,
    };
  }

  async #get(session: HostSession, tagOrDigest: string): Promise<FetchedManifest> {
    const reply = await session.request({ ...this.#manifestRequest("GET", tagOrDigest), accept: [200] });
    const bytes = await readBody(reply.body, maxManifestBytes, `fetch manifest ${tagOrDigest} from ${session.name}`);
    const digest = digestOf(bytes);
    const said = reply.headers["docker-content-digest"];
    if (said !== undefined && parseDigest(String(said), `manifest from ${session.name}`) !== digest) {
      throw new TripodError(
        "corrupt",
        `fetch manifest from ${session.name}: it says ${String(said)}, what came is ${digest}`,
      );
    }
    return { digest, mediaType: (reply.headers["content-type"] ?? "").split(";")[0]?.trim() ?? "", bytes };
  }

  /** The first host's answer; when all fail, the last one's error (the registry itself) with what the mirrors said. */
  async #first<T>(
    capability: Capability,
    ask: (session: HostSession) => Promise<T>,
    signal = this.#signal,
  ): Promise<T> {
    const failures: unknown[] = [];
    for (const session of this.sessions(capability)) {
      try {
        return await ask(session);
      } catch (error) {
        signal?.throwIfAborted();
        failures.push(error);
      }
    }
    const last = failures.pop();
    if (failures.length === 0 || !(last instanceof TripodError)) throw last;
    throw new TripodError(last.code, `${last.message} (mirrors: ${failures.map(messageOf).join("; ")})`, {
      cause: last,
      detail: last.detail,
    });
  }

  [Symbol.dispose](): void {
    for (const session of this.#sessions) session[Symbol.dispose]();
  }
}
