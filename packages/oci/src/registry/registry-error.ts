import type { ErrorCode } from "@tripod/base";
import { TripodError } from "@tripod/base";

const codes: Readonly<Record<number, ErrorCode>> = {
  400: "invalid",
  401: "unauthenticated",
  403: "permission-denied",
  404: "not-found",
  405: "unimplemented",
  408: "timeout",
  416: "out-of-range",
  429: "exhausted",
};

const advice: Partial<Record<ErrorCode, string>> = {
  unauthenticated: "give credentials that this registry accepts (--creds, or a Pod's imagePullSecrets)",
  "permission-denied": "give credentials that may do this (--creds, or a Pod's imagePullSecrets)",
  "not-found": "check the name and the tag",
  exhausted: "the registry limits how often it is asked; wait, or give credentials",
  unavailable: "try again later",
};

/** What the registry itself said: "CODE: message" of each error in the body (distribution spec, "Error Codes"), or the text. */
function reasonIn(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body);
    if (parsed !== null && typeof parsed === "object") {
      if ("errors" in parsed && Array.isArray(parsed.errors)) {
        const parts = parsed.errors.slice(0, 5).map((item: unknown) => {
          const { code = "", message = "" } = (item ?? {}) as { code?: unknown; message?: unknown }; // any JSON value: both are made text
          return [code, message].map(String).filter(Boolean).join(": ");
        });
        if (parts.length > 0) return parts.join("; ").slice(0, 500);
      }
      for (const key of ["details", "message", "error_description", "error"] as const) {
        // Token servers answer {"details": …} or OAuth's {"error": …}.
        const found = (parsed as Record<string, unknown>)[key];
        if (typeof found === "string" && found !== "") return found.slice(0, 500);
      }
    }
  } catch {
    // not JSON: the text itself is the reason
  }
  const text = body.trim();
  return text.startsWith("<") ? "" : text.replaceAll(/\s+/g, " ").slice(0, 300);
}

/** The error for an answer that is not a success. `what` names what was asked of which host; `mask` takes secrets out of the server's words. */
export function registryError(what: string, status: number, body: string, mask: (text: string) => string): TripodError {
  const code = codes[status] ?? (status >= 500 ? "unavailable" : "internal");
  const reason = mask(reasonIn(body));
  const hint = advice[code];
  return new TripodError(
    code,
    `${what}: the registry answers ${status}${reason === "" ? "" : ` (${reason})`}${hint === undefined ? "" : `; ${hint}`}`,
    { detail: { status } },
  );
}
