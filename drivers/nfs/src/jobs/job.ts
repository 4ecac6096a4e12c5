import type { ErrorCode } from "@tripod/base";
import type { VolumeRecord } from "./share-records.ts";

/** Where a share is mounted for the driver itself. */
interface InShare {
  readonly dir: string;
}

/** What a process of its own does on a share (share-job.ts), for whoever asks a file system waits as long as its server likes. */
export type Job =
  | {
      readonly kind: "mount";
      readonly server: string;
      readonly path: string;
      readonly options: readonly string[];
      readonly dir: string;
      readonly waitMs: number;
    }
  | ({ readonly kind: "unmount" } & InShare)
  | ({
      readonly kind: "publish";
      readonly subDir: string;
      readonly target: string;
      readonly attributes: number;
      readonly mode?: number;
    } & InShare)
  | { readonly kind: "unpublish"; readonly target: string }
  | { readonly kind: "statistics"; readonly path: string }
  | ({
      readonly kind: "make";
      readonly subDir: string;
      readonly name: string;
      readonly record: VolumeRecord;
      readonly source?: JobSource;
      readonly mode?: number;
    } & InShare)
  | ({
      readonly kind: "remove";
      readonly subDir: string;
      readonly name: string;
      readonly onDelete: "delete" | "retain" | "archive";
    } & InShare)
  | ({ readonly kind: "look"; readonly subDir: string; readonly name: string } & InShare)
  | ({
      readonly kind: "record";
      readonly subDir: string;
      readonly name: string;
      readonly record: VolumeRecord;
    } & InShare)
  | ({
      readonly kind: "snapshot";
      readonly name: string;
      readonly subDir: string;
      readonly record: SnapshotRecord;
    } & InShare)
  | ({ readonly kind: "look-at-snapshot"; readonly name: string } & InShare)
  | ({ readonly kind: "remove-snapshot"; readonly name: string } & InShare);

/** What a new volume is to hold. It lies in the same share. */
export type JobSource =
  | { readonly kind: "volume"; readonly subDir: string }
  | { readonly kind: "snapshot"; readonly name: string };

export interface SnapshotRecord {
  readonly sourceVolumeId: string;
  readonly sizeBytes: string;
  /** RFC 3339. */
  readonly createdAt: string;
}

export interface Statistics {
  readonly totalBytes: string;
  readonly availableBytes: string;
  readonly freeBytes: string;
  readonly files: string;
  readonly freeFiles: string;
}

/** What jobs answer: "look" what is there, undefined (null in JSON) for nothing. */
export interface JobResults {
  readonly mount: null;
  readonly unmount: null;
  readonly publish: null;
  readonly unpublish: null;
  readonly statistics: Statistics;
  readonly make: null;
  readonly remove: null;
  readonly look: { readonly record: VolumeRecord | null } | null;
  readonly record: null;
  readonly snapshot: null;
  readonly "look-at-snapshot": SnapshotRecord | null;
  readonly "remove-snapshot": null;
}

/** How far a copy is. */
export interface Progress {
  readonly files: number;
  readonly bytes: number;
}

/** A line of a job's standard output. */
export type JobMessage =
  | { readonly kind: "progress"; readonly progress: Progress }
  | { readonly kind: "done"; readonly result: unknown }
  | { readonly kind: "failed"; readonly code: ErrorCode; readonly message: string; readonly errno: string | null };
