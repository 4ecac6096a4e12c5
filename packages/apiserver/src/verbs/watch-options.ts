import { ApiError, badRequest } from "../http/api-error.ts";
import { booleanParameter } from "./request.ts";

/** How a watch begins and what it carries. */
export interface WatchOptions {
  /** "now": with what is there as ADDED events first; "now-only": without; a number: after that revision. */
  readonly start: "now" | "now-only" | number;
  /** A bookmark that says so follows the objects that are there at the start. */
  readonly marksInitialEnd: boolean;
  readonly bookmarks: boolean;
  readonly timeoutMs: number;
}

const forbiddenOption = (field: string, why: string): ApiError =>
  new ApiError("invalid", {
    code: 422,
    reason: "Invalid",
    message: `ListOptions.meta.k8s.io "" is invalid: ${field}: Forbidden: ${why}`,
    details: {
      group: "meta.k8s.io",
      kind: "ListOptions",
      causes: [{ reason: "FieldValueForbidden", message: `Forbidden: ${why}`, field }],
    },
  });

/** Reads the parameters of a watch. Without timeoutSeconds it lasts 30 to 60 minutes, so that not all end at once. */
export function watchOptionsOf(query: URLSearchParams): WatchOptions {
  const version = query.get("resourceVersion") ?? "";
  if (!/^\d{0,15}$/.test(version))
    throw badRequest(`resourceVersion: Invalid value: ${JSON.stringify(version)}: must be a whole number`);
  const initial = booleanParameter(query, "sendInitialEvents");
  const match = query.get("resourceVersionMatch") ?? "";
  const bookmarks = booleanParameter(query, "allowWatchBookmarks") === true;
  if (initial !== undefined && match !== "NotOlderThan")
    throw forbiddenOption(
      "resourceVersionMatch",
      "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    );
  if (initial === undefined && match !== "")
    throw forbiddenOption(
      "resourceVersionMatch",
      "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
    );
  const seconds = Number(query.get("timeoutSeconds") ?? "0");
  const timeoutMs = seconds > 0 ? seconds * 1000 : (1800 + Math.random() * 1800) * 1000;
  const isAny = version === "" || version === "0";
  return {
    start: initial === true ? "now" : isAny ? (initial === false ? "now-only" : "now") : Number(version),
    marksInitialEnd: initial === true && bookmarks,
    bookmarks,
    timeoutMs: Math.min(timeoutMs, 2 ** 31 - 1),
  };
}
