import { ApiError, badRequest } from "../http/api-error.ts";

/** Where a paged list goes on: after a key, at the revision of its first page. */
export interface ContinuePoint {
  readonly key: string;
  readonly revision: number;
}

/** A token from the start of the keys after "/": nothing in it is secret, all of it is checked when it comes back. */
export const encodeContinue = ({ key, revision }: ContinuePoint): string =>
  Buffer.from(JSON.stringify({ v: "tripod.dev/v1", rv: revision, start: key })).toString("base64url");

export function decodeContinue(token: string, prefix: string): ContinuePoint {
  const point = parse(token);
  if (point === undefined) throw badRequest("continue key is not valid: it was not made by this server");
  if (!point.key.startsWith(prefix)) throw badRequest("continue key is not valid: it belongs to another list");
  return point;
}

function parse(token: string): ContinuePoint | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(token, "base64url").toString());
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || !("start" in value) || !("rv" in value)) return undefined;
  const { start, rv } = value;
  return typeof start === "string" && Number.isSafeInteger(rv) ? { key: start, revision: Number(rv) } : undefined;
}

/** The refusal of a token whose revision was compacted. */
export const continueExpired = (): ApiError =>
  new ApiError("out-of-range", {
    code: 410,
    reason: "Expired",
    message:
      "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.",
  });
