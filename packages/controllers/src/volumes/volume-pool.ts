import {
  parseQuantity,
  type PersistentVolume,
  type PersistentVolumeAccessMode,
  type PersistentVolumeClaim,
  type Stored,
} from "@tripod/api/kubernetes";
import type { Informer } from "@tripod/kube";
import { refersTo } from "./volume-state.ts";

type StoredVolume = Stored<PersistentVolume>;

interface Entry {
  readonly size: bigint;
  readonly name: string;
  readonly volume: StoredVolume;
}

/** Free volumes of one kind with the same access modes, by size, then by name. */
interface Shelf {
  readonly modes: ReadonlySet<PersistentVolumeAccessMode>;
  readonly entries: Entry[];
}

/** What has to be the same of a volume and a claim. */
const kindOf = ({ spec }: PersistentVolume | PersistentVolumeClaim): string =>
  [spec.storageClassName ?? "", spec.volumeMode ?? "Filesystem", spec.volumeAttributesClassName ?? ""].join("\0");

const modesOf = ({ spec }: PersistentVolume): string => [...new Set(spec.accessModes)].sort().join(",");
const sizeOf = ({ spec }: PersistentVolume): bigint => parseQuantity(spec.capacity?.storage ?? "0").nano;
/** A volume that was used before (Released, Failed) is not given out again. */
const isFree = ({ metadata, spec, status }: PersistentVolume): boolean =>
  spec.claimRef === undefined && status?.phase === "Available" && metadata.deletionTimestamp === undefined;

/**
 * Volumes, kept so that a claim's is found without a look at all the others: those that refer to a claim by that claim, those that are
 * free by what a claim asks for, smallest first.
 */
export class VolumePool {
  readonly #volumes = new Map<string, StoredVolume>();
  readonly #byClaim = new Map<string, Map<string, StoredVolume>>();
  readonly #shelves = new Map<string, Map<string, Shelf>>();

  static of(volumes: Iterable<StoredVolume>): VolumePool {
    const pool = new VolumePool();
    for (const volume of volumes) pool.put(volume);
    return pool;
  }

  /** Keeps up with a cache. The returned function ends that. */
  follow(volumes: Informer<PersistentVolume>): () => void {
    const put = (volume: StoredVolume): void => this.put(volume);
    return volumes.on({ added: put, updated: put, deleted: ({ metadata }) => this.delete(metadata.name) });
  }

  put(volume: StoredVolume): void {
    const { name } = volume.metadata;
    this.delete(name);
    this.#volumes.set(name, volume);
    const { claimRef } = volume.spec;
    if (claimRef !== undefined) {
      const key = `${claimRef.namespace}/${claimRef.name}`;
      const reserved = this.#byClaim.get(key) ?? new Map<string, StoredVolume>();
      this.#byClaim.set(key, reserved.set(name, volume));
    } else if (isFree(volume)) {
      const entries = this.#shelfOf(volume).entries;
      const entry = { size: sizeOf(volume), name, volume };
      entries.splice(firstFrom(entries, entry), 0, entry);
    }
  }

  delete(name: string): void {
    const volume = this.#volumes.get(name);
    if (volume === undefined) return;
    this.#volumes.delete(name);
    const { claimRef } = volume.spec;
    if (claimRef !== undefined) {
      const key = `${claimRef.namespace}/${claimRef.name}`;
      const reserved = this.#byClaim.get(key);
      if (reserved?.delete(name) === true && reserved.size === 0) this.#byClaim.delete(key);
    } else if (isFree(volume)) {
      const { entries } = this.#shelfOf(volume);
      entries.splice(firstFrom(entries, { size: sizeOf(volume), name }), 1);
    }
  }

  /** Volumes whose claimRef has this "namespace/name", whatever its uid. */
  namedBy(claimKey: string): StoredVolume[] {
    return [...(this.#byClaim.get(claimKey)?.values() ?? [])];
  }

  /** Volumes that were made, or set aside, for this very claim. */
  reservedFor(claim: PersistentVolumeClaim): StoredVolume[] {
    const { namespace, name } = claim.metadata;
    return this.namedBy(`${namespace}/${name}`).filter(({ spec }) => refersTo(spec.claimRef, claim));
  }

  /** Free volumes with everything that a claim asks for but its selector: those with the fewest access modes first, of these the smallest. */
  *freeFor(claim: PersistentVolumeClaim): Iterable<StoredVolume> {
    const modes = claim.spec.accessModes ?? [];
    const size = parseQuantity(claim.spec.resources?.requests?.storage ?? "0").nano;
    const shelves = [...(this.#shelves.get(kindOf(claim))?.values() ?? [])]
      .filter((shelf) => modes.every((mode) => shelf.modes.has(mode)))
      .sort((a, b) => a.modes.size - b.modes.size);
    for (const { entries } of shelves)
      for (let at = firstFrom(entries, { size, name: "" }); at < entries.length; at += 1) {
        const entry = entries[at];
        if (entry !== undefined) yield entry.volume;
      }
  }

  #shelfOf(volume: PersistentVolume): Shelf {
    const kind = kindOf(volume);
    const shelves = this.#shelves.get(kind) ?? new Map<string, Shelf>();
    this.#shelves.set(kind, shelves);
    const modes = modesOf(volume);
    const shelf = shelves.get(modes) ?? { modes: new Set(volume.spec.accessModes), entries: [] };
    shelves.set(modes, shelf);
    return shelf;
  }
}

/** Where the first entry is that is not less. */
function firstFrom(entries: readonly Entry[], { size, name }: Pick<Entry, "size" | "name">): number {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = entries[middle];
    const isLess = entry !== undefined && (entry.size < size || (entry.size === size && entry.name < name));
    if (isLess) low = middle + 1;
    else high = middle;
  }
  return low;
}
