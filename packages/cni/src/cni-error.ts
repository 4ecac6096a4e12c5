import { codeOf, type ErrorCode, messageOf, TripodError } from "@tripod/base";
import { isJsonObject, type JsonObject } from "./json.ts";

/** The error codes of the CNI specification (section 5, "Error"). */
export const cniCodes = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  io: 5,
  decoding: 6,
  invalidConfig: 7,
  invalidNetns: 8,
  tryAgainLater: 11,
  pluginNotAvailable: 50,
  limitedConnectivity: 51,
  internal: 999,
} as const;

const tripodCodes: Readonly<Record<number, ErrorCode>> = {
  [cniCodes.incompatibleVersion]: "failed-precondition",
  [cniCodes.unsupportedField]: "invalid",
  [cniCodes.unknownContainer]: "not-found",
  [cniCodes.invalidEnvironment]: "invalid",
  [cniCodes.io]: "unavailable",
  [cniCodes.decoding]: "invalid",
  [cniCodes.invalidConfig]: "invalid",
  [cniCodes.invalidNetns]: "failed-precondition",
  [cniCodes.tryAgainLater]: "unavailable",
  [cniCodes.pluginNotAvailable]: "unavailable",
  [cniCodes.limitedConnectivity]: "unavailable",
};

/** An error as it goes over CNI's wire: a code of the specification (a plugin's own start at 100), a message, details. */
export class CniError extends TripodError {
  readonly cniCode: number;
  readonly details: string;

  constructor(cniCode: number, message: string, options: { readonly details?: string; readonly cause?: unknown } = {}) {
    super(tripodCodes[cniCode] ?? "internal", message, { cause: options.cause, detail: { cniCode } });
    this.name = "CniError";
    this.cniCode = cniCode;
    this.details = options.details ?? "";
  }
}

/** The CNI code of any thrown value. */
function cniCodeOf(error: unknown): number {
  if (error instanceof CniError) return error.cniCode;
  switch (codeOf(error)) {
    case "invalid":
      return cniCodes.invalidConfig;
    case "unavailable":
    case "aborted":
      return cniCodes.tryAgainLater;
    default:
      return cniCodes.internal;
  }
}

/** The JSON that a plugin prints on standard output when it fails. */
export function errorToJson(error: unknown, cniVersion: string): JsonObject {
  const details = error instanceof CniError ? error.details : "";
  return { cniVersion, code: cniCodeOf(error), msg: messageOf(error), ...(details === "" ? {} : { details }) };
}

/** The error that a plugin printed; undefined when `value` is no error of CNI. */
export function errorFromJson(value: unknown, plugin: string): CniError | undefined {
  if (!isJsonObject(value) || typeof value.code !== "number" || typeof value.msg !== "string") return undefined;
  const details = typeof value.details === "string" ? value.details : "";
  return new CniError(value.code, `plugin ${plugin}: ${value.msg}${details === "" ? "" : ` (${details})`}`, {
    details,
  });
}
