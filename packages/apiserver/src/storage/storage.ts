/** One stored key: its text, and the revisions at which it was made and last changed. */
export interface StoredValue {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly revision: number;
}

/** What happened to one key at one revision. */
export type StorageEvent =
  | {
      readonly type: "put";
      readonly revision: number;
      readonly current: StoredValue;
      /** Undefined when the key was made by this event. */
      readonly previous: StoredValue | undefined;
    }
  | { readonly type: "delete"; readonly revision: number; readonly previous: StoredValue };

/** What a watch yields: events, and bookmarks that say how far the watch has got. */
export type WatchItem = StorageEvent | { readonly type: "bookmark"; readonly revision: number };

export interface ListOptions {
  /** At most this many; all unless told. */
  readonly limit?: number;
  /** Begin after this key. */
  readonly after?: string;
  /** Show the state of this past revision; the present one unless told. */
  readonly revision?: number;
}

export interface ListPage {
  /** In the order of the keys (by their UTF-8 bytes). */
  readonly items: readonly StoredValue[];
  /** The revision whose state the page shows. */
  readonly revision: number;
  /** How many keys follow after the page. */
  readonly remaining: number;
}

/** Every change below a prefix, in the order of the revisions, without a gap. One reader. */
export interface StorageWatch extends AsyncIterable<WatchItem> {
  /** Asks for a bookmark; it comes after every event that happened before. */
  requestBookmark(): void;
  /** Ends the watch: the iteration ends after what was already queued. */
  close(): void;
}

/**
 * What the API server needs of a store (SQLite now; etcd fits as well). One revision, a positive integer, counts every change of any
 * key; it never goes back, over a restart neither. Every write is whole and durable when its promise resolves, and visible to every
 * read that starts afterwards. Failures are TripodErrors:
 *
 * | what | code |
 * |---|---|
 * | create of a key that exists | already-exists |
 * | update or delete of a key that does not | not-found |
 * | update or delete of a key whose revision is not the expected one | conflict |
 * | watch from, or list of, a revision that was compacted | out-of-range |
 * | watch from, or list of, a revision that is not reached yet | invalid |
 * | a watcher that fell too far behind (its iteration throws) | exhausted |
 * | the disk refuses | unavailable |
 *
 * `storageConformance` is the suite that an implementation must pass.
 */
export interface Storage extends AsyncDisposable {
  /** The revision of the last change; at least 1. */
  currentRevision(): Promise<number>;
  get(key: string): Promise<StoredValue | undefined>;
  list(prefix: string, options?: ListOptions): Promise<ListPage>;
  create(key: string, value: string): Promise<StoredValue>;
  /** Replaces the value if the key's revision is `expected`. */
  update(key: string, value: string, expected: number): Promise<StoredValue>;
  /** Removes the key if its revision is `expected`. Resolves with the revision of the deletion itself. */
  delete(key: string, expected: number): Promise<number>;
  /** Follows every change of keys below `prefix` after `revision`. */
  watch(prefix: string, revision: number): Promise<StorageWatch>;
  /** Forgets what was, up to and with `revision`: watches and lists from before it are refused from now on. */
  compact(revision: number): Promise<void>;
}
