import type { ErrorCode } from "@tripod/base";

/** What a share server is told on its standard input, as JSON. */
export interface ServeShareRequest {
  readonly host: string;
  readonly port: number;
  /** The server's folder. */
  readonly path: string;
  /** How long a call waits for a server that does not answer; for ever unless told. */
  readonly patienceMs?: number;
  /** How long it may take until it is mounted. */
  readonly firstPatienceMs: number;
  readonly target: string;
  /** What mountinfo calls it. */
  readonly source: string;
  /** MS flags or'ed. */
  readonly flags: number;
}

/** What it answers on its standard output, a line. */
export type ServeShareAnswer =
  | { readonly ready: true }
  | { readonly ready: false; readonly code: ErrorCode; readonly message: string };
