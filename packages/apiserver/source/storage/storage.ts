/** One stored object: its key, its bytes, and the revisions at which it was made and last changed. */
export interface StoredValue {
  readonly key: string;
  /** JSON text of the object, without its resourceVersion. */
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
      readonly previous: StoredValue | undefined;
    }
  | { readonly type: "delete"; readonly revision: number; readonly previous: StoredValue };

export interface ListOptions {
  readonly limit?: number;
  /** Begin after this key. */
  readonly after?: string;
}

export interface ListPage {
  readonly items: StoredValue[];
  /** The revision that the page shows. */
  readonly revision: number;
  /** How many keys follow after the page. */
  readonly remaining: number;
}

/** A watch: events in the order of their revisions, without a gap. */
export interface StorageWatch extends AsyncIterable<StorageEvent> {
  close(): void;
}

/**
 * What the API server needs of a store. One revision counts every change of any key; it never goes back, also over a restart.
 * Every write is one transaction and is on the disk when it returns. Failures are TripodErrors:
 * create of an existing key "already-exists"; update or delete of an absent one "not-found"; of one whose revision is another
 * "conflict"; a watch from a revision that was compacted "out-of-range".
 */
export interface Storage extends Disposable {
  /** The revision of the last change; at least 1. */
  readonly revision: number;
  get(key: string): StoredValue | undefined;
  list(prefix: string, options?: ListOptions): ListPage;
  create(key: string, value: string): StoredValue;
  /** Replaces the value if its revision is still `expected`. */
  update(key: string, value: string, expected: number): StoredValue;
  /** Removes the key if its revision is still `expected`. The deletion's own revision is returned. */
  delete(key: string, expected: number): number;
  /** Every change below `prefix` after `revision`. */
  watch(prefix: string, revision: number): StorageWatch;
  /** Forgets history up to and with `revision`; watches from before it are refused from now on. */
  compact(revision: number): void;
}
