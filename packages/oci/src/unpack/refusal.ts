import { isErrno } from "@tripod/linux";
import { isNodeError, messageOf, TripodError } from "@tripod/base";

/** What the file system says of a member that it cannot hold: names, attributes and numbers beyond its bounds. */
const beyondBounds = ["ENAMETOOLONG", "EINVAL", "E2BIG", "ERANGE", "EOVERFLOW", "EMLINK", "EILSEQ"] as const;

/** The error for a layer that no file system takes; undefined when `error` says something else. */
export function refusalOf(error: unknown): TripodError | undefined {
  if (!isNodeError(error, ...beyondBounds) && !isErrno(error, "EINVAL", "E2BIG", "ERANGE", "ENAMETOOLONG"))
    return undefined;
  return new TripodError(
    "invalid",
    `unpack layer: a member is not one that this file system can hold: ${messageOf(error)}`,
    {
      cause: error,
    },
  );
}
