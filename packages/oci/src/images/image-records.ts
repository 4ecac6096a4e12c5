import { join } from "node:path";
import { type RecordTable, Records } from "@tripod/base";
import type { Digest } from "../digest.ts";
import type { Image } from "../image.ts";
import { parseReference } from "../reference.ts";
import type { WritableLimit } from "../snapshots/snapshotter.ts";
import { artifactFiles } from "../spec/artifact.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { chainIdsOf, type ImageConfig } from "../spec/image-config.ts";
import { writeLayout } from "./write-layout.ts";

/** An image on record; its key is the config's digest, an artifact's is its manifest's. */
export interface ImageRecord {
  readonly manifest: Descriptor;
  readonly configDescriptor: Descriptor;
  readonly config: ImageConfig;
  readonly layers: readonly Descriptor[];
  readonly pinned: boolean;
  /** Only of artifacts: what they call themselves. */
  readonly artifactType?: string;
  /** It was pulled so that it could be used before it was whole. */
  readonly lazy?: true;
  /** Why a lazy pull fetched all of it first. */
  readonly wholeBecause?: string;
  /** When it came here, in milliseconds since 1970; put() sets it. */
  readonly addedAtMs?: number;
}

/** A name on record, "host/repository:tag" or "host/repository@digest": which image it means, and documents to keep for it. */
export interface NameRecord {
  readonly imageId: Digest;
  readonly documents: readonly Digest[];
  /** By which the policy let it in when it was pulled, in base64: so that it can be asked again. */
  readonly signatures?: readonly { readonly payload: string; readonly signature: string }[];
}

/** What a running pull, import, … uses, so that nobody collects it. */
export interface LeaseRecord {
  /** The process that holds it (see processToken). */
  readonly owner: string;
  readonly blobs: readonly Digest[];
  readonly chains: readonly Digest[];
}

/** A container's root file system on record; its key is the container's id. */
export interface RootfsRecord {
  readonly imageId: Digest;
  /** Chain ids, bottom first. */
  readonly layers: readonly Digest[];
  readonly target: string;
  readonly limit?: WritableLimit;
  /** Chain ids of the images that are mounted in the container as volumes. */
  readonly views?: readonly Digest[];
  /** The chain id of the topmost layer, when that holds what a checkpointed container had written and is not the image's. */
  readonly restored?: Digest;
}

/** An image that is mounted by hand; its key is the folder on which it is mounted. */
export interface MountRecord {
  readonly imageId: Digest;
  /** Chain ids, bottom first. */
  readonly layers: readonly Digest[];
  readonly mountedAtMs: number;
  /** The process that mounts it: while it lives, a mount that is not to be seen yet is one to come. */
  readonly owner: string;
  /** Where the mount is to be seen: see mountPlace(). */
  readonly place: string;
}

/** What the image store knows, in SQLite: shared by all processes that have the store open, read afresh at each use. */
export class ImageRecords implements Disposable {
  readonly images: RecordTable<ImageRecord>;
  readonly names: RecordTable<NameRecord>;
  readonly leases: RecordTable<LeaseRecord>;
  readonly rootfs: RecordTable<RootfsRecord>;
  readonly mounts: RecordTable<MountRecord>;
  readonly #records: Records;
  readonly #dir: string;

  private constructor(records: Records, dir: string) {
    this.#records = records;
    this.#dir = dir;
    this.images = records.table("images");
    this.names = records.table("names");
    this.leases = records.table("leases");
    this.rootfs = records.table("rootfs");
    this.mounts = records.table("mounts");
  }

  static open(dir: string): ImageRecords {
    // What a power cut may take of these, checkStore() mends: an image is pulled again, an unknown root file system removed.
    return new ImageRecords(Records.open(join(dir, "images.db"), { survives: "crash" }), dir);
  }

  [Symbol.dispose](): void {
    this.#records[Symbol.dispose]();
  }

  transaction<T>(work: () => T): T {
    return this.#records.transaction(work);
  }

  /** Every image with its names, sorted by id. */
  all(): Image[] {
    const names = Map.groupBy(this.names.entries(), ([, { imageId }]) => imageId);
    return this.images.entries().map(([key, record]) => {
      const id = key as Digest; // the table's keys are digests
      return imageOf(
        id,
        record,
        (names.get(id) ?? []).map(([name]) => name),
      );
    });
  }

  /** Has the OCI layout on the disk say what the records say. */
  publish(): void {
    this.transaction(() => writeLayout(this.#dir, this.all()));
  }

  /** Which image a name, an id or the unique beginning of an id means. */
  idOf(nameOrId: string): Digest | undefined {
    const hex = nameOrId.startsWith("sha256:") ? nameOrId.slice(7) : nameOrId;
    const whole: Digest = `sha256:${hex}`;
    if (/^[0-9a-f]{64}$/.test(hex)) return this.images.get(whole) === undefined ? undefined : whole;
    // A name comes before the beginning of an id: "cafe" may be both.
    const named = nameOrId.startsWith("sha256:") ? undefined : this.#named(nameOrId);
    if (named !== undefined || !/^[0-9a-f]{3,63}$/.test(hex)) return named;
    const found = this.images.entries().filter(([id]) => id.startsWith(whole));
    return found.length === 1 && found[0] !== undefined ? (found[0][0] as Digest) : undefined; // keys are config digests
  }

  #named(name: string): Digest | undefined {
    const reference = parseReference(name);
    const repository = `${reference.host}/${reference.repository}`;
    // With a digest the tag is decoration.
    const key = reference.digest === undefined ? `${repository}:${reference.tag}` : `${repository}@${reference.digest}`;
    return this.names.get(key)?.imageId;
  }

  /** Records an image under `names`; what these meant before, they mean no longer. */
  put(id: Digest, record: ImageRecord, names: ReadonlyMap<string, Omit<NameRecord, "imageId">>): void {
    this.transaction(() => {
      const before = this.images.get(id);
      const pinned = record.pinned || before?.pinned === true;
      this.images.put(id, { ...record, pinned, addedAtMs: before?.addedAtMs ?? Date.now() });
      for (const [name, facts] of names) {
        const known = this.names.get(name);
        const { signatures } = { ...(known?.imageId === id && known), ...facts };
        this.names.put(name, {
          imageId: id,
          documents: facts.documents,
          ...(signatures !== undefined && { signatures }),
        });
      }
      writeLayout(this.#dir, this.all());
    });
  }

  /** Gives an image one more name. */
  addName(id: Digest, name: string): void {
    this.transaction(() => {
      this.names.put(name, { imageId: id, documents: [] });
      writeLayout(this.#dir, this.all());
    });
  }

  /** Takes one name away. */
  deleteName(name: string): void {
    this.transaction(() => {
      this.names.delete(name);
      writeLayout(this.#dir, this.all());
    });
  }

  /** Forgets images and their names. */
  delete(...ids: readonly Digest[]): void {
    this.transaction(() => this.deleteWithin(ids));
  }

  /** The same as part of a transaction. */
  deleteWithin(ids: readonly Digest[]): void {
    for (const id of ids) this.images.delete(id);
    for (const [name, { imageId }] of this.names.entries()) if (ids.includes(imageId)) this.names.delete(name);
    writeLayout(this.#dir, this.all());
  }
}

/** Makes what callers see of a record and its names. */
export function imageOf(id: Digest, record: ImageRecord, names: readonly string[]): Image {
  const { manifest, configDescriptor, config, layers, pinned, artifactType, lazy, wholeBecause } = record;
  return {
    id,
    repoTags: names.filter((name) => !name.includes("@")).toSorted(),
    repoDigests: names.filter((name) => name.includes("@")).toSorted(),
    sizeBytes: layers.reduce((sum, layer) => sum + layer.size, manifest.size + configDescriptor.size),
    config,
    chainId: chainIdsOf(config.rootfs.diff_ids).at(-1) ?? emptyChainId,
    pinned,
    manifest,
    layers,
    ...(lazy === true && { lazy }),
    ...(wholeBecause !== undefined && { wholeBecause }),
    ...(artifactType !== undefined && { artifact: { type: artifactType, files: artifactFiles(layers, id) } }),
  };
}

/** The digest of nothing. */
const emptyChainId: Digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
