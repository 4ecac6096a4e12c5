import type { ErrorCode } from "@tripod/base";
import type { Digest } from "../digest.ts";
import type { DiskUsage } from "../image.ts";
import type { TreeChange } from "../snapshots/compare-trees.ts";
import type { ByteString } from "../tar/tar-entry.ts";
import type { LayerContents } from "./layer-writer.ts";
import type { UnpackRequest } from "./unpack-layer.ts";

/** Completes a layer once those below it are there: implied folders get their attributes, all of it goes to the disk. */
export interface SettleRequest {
  readonly dir: string;
  readonly implied: readonly ByteString[];
  /** Topmost first. */
  readonly lowerDirs: readonly string[];
}

export type WorkerJob =
  | { readonly kind: "unpack"; readonly request: UnpackRequest }
  | { readonly kind: "settle"; readonly request: SettleRequest }
  | { readonly kind: "digest"; readonly path: string }
  | { readonly kind: "measure"; readonly dir: string }
  | { readonly kind: "compare"; readonly expected: string; readonly found: string }
  | { readonly kind: "changes"; readonly expected: string; readonly found: string };

/** What a job gives, by its kind. */
export interface WorkerResults {
  readonly unpack: LayerContents;
  readonly settle: undefined;
  /** Undefined when there is no such file. */
  readonly digest: FileIdentity | undefined;
  readonly measure: DiskUsage;
  /** The first differences of two trees. */
  readonly compare: readonly string[];
  readonly changes: readonly TreeChange[];
}

/** What a file holds. */
export interface FileIdentity {
  readonly digest: Digest;
  readonly size: number;
}

export type WorkerResult = WorkerResults[WorkerJob["kind"]];

export type ToWorker =
  | { readonly id: number; readonly job: WorkerJob }
  | { readonly id: number; readonly cancel: true };

export type FromWorker =
  /** Once, first of all: its modules are loaded. */
  | { readonly ready: true }
  | { readonly id: number; readonly done: WorkerResult }
  | { readonly id: number; readonly failed: { readonly code: ErrorCode; readonly message: string } };
