import { type DescMethod, type DescMessage, fromBinary, toJson } from "@bufbuild/protobuf";
import { file_csi_v1_csi } from "@tripod/api/csi";
import { redact } from "@tripod/trace";
import type { SeenCall, SeenMessage } from "./grpc-relay.ts";

/** A call as it is recorded; secrets and tokens are taken out. */
export interface RecordedCall {
  readonly time: string;
  /** "Node/NodeGetInfo". */
  readonly method: string;
  readonly durationMs: number;
  /** "OK", "NOT_FOUND", …; "CANCELLED" also for a caller that went away. */
  readonly status: string;
  readonly error?: string;
  /** A message, or for a stream of them several. */
  readonly request: unknown;
  readonly reply?: unknown;
}

const statusNames = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];

/** The protocol's methods by "/csi.v1.Node/NodeGetInfo". */
const methods: ReadonlyMap<string, DescMethod> = new Map(
  file_csi_v1_csi.services.flatMap((service) =>
    service.methods.map((method): [string, DescMethod] => [`/${service.typeName}/${method.name}`, method]),
  ),
);

/** What went by, in words and JSON. A method that CSI does not have shows the lengths of its messages. */
export function describeCall(call: SeenCall): RecordedCall {
  const method = methods.get(call.path);
  const request = shown(call.requests, method?.input);
  const reply = shown(call.replies, method?.output);
  return {
    time: new Date(call.startedAtMs).toISOString(),
    method: call.path.replace(/^\/(csi\.v1\.)?/, ""),
    durationMs: Math.round(call.durationMs * 10) / 10,
    status: call.status === -1 ? "CANCELLED" : (statusNames[call.status] ?? String(call.status)),
    ...(call.status === 0 || call.message === "" ? {} : { error: call.message }), // some servers say "OK" of success
    request,
    ...(reply === undefined ? {} : { reply }),
  };
}

function shown(messages: readonly SeenMessage[], schema: DescMessage | undefined): unknown {
  const all = messages.map((message) => read(message, schema));
  return all.length > 1 ? all : all[0];
}

function read(message: SeenMessage, schema: DescMessage | undefined): unknown {
  if (!(message instanceof Uint8Array)) return `${message.bytes} bytes`;
  if (schema === undefined) return `${message.length} bytes`;
  try {
    return redact(toJson(schema, fromBinary(schema, message)));
  } catch {
    return `${message.length} bytes that are no ${schema.name}`;
  }
}

/** A call on one line, for a terminal. */
export function callLine({ time, method, durationMs, status, error, request }: RecordedCall): string {
  const ids = Object.entries(typeof request === "object" && request !== null ? request : {})
    .filter(([key, value]) => /^(name|.*[iI]d|.*[pP]ath)$/.test(key) && typeof value === "string")
    .map(([key, value]) => `${key}=${value}`)
    .join(" ");
  const outcome = error === undefined ? status : `${status}: ${error}`;
  return `${time.slice(11, 23)} ${method.padEnd(42)} ${durationMs.toFixed(1).padStart(8)} ms  ${outcome}  ${ids}`.trimEnd();
}
