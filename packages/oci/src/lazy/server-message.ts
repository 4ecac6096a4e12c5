import type { ErrorCode, Layout } from "@tripod/base";
import type { Digest } from "../digest.ts";
import type { RegistryAuth } from "../image.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import type { LayerLimits } from "../unpack/layer-limits.ts";

/** What a layer server is told on its standard input, as JSON. */
export interface ServeRequest {
  readonly layout: Layout;
  readonly limits: LayerLimits;
  /** Whose blobs they are. */
  readonly reference: string;
  readonly auth?: RegistryAuth;
  /** All of the image, bottom first, as many as there are diff ids. */
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly Digest[];
  /** The first one to be served; those below it are whole. */
  readonly from: number;
  /** How long a read waits for a registry that cannot be reached. */
  readonly patienceMs: number;
}

/** What it answers on its standard output, a line: all its layers are mounted, or why they are not. */
export type ServeAnswer =
  | { readonly ready: true; readonly pid: number }
  | { readonly ready: false; readonly code: ErrorCode; readonly message: string };
