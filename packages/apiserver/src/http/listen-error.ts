import { TripodError } from "@tripod/base";

/** The error of a server that cannot listen where it was told to. */
export function listenError(where: string, cause: NodeJS.ErrnoException): TripodError {
  const isTaken = cause.code === "EADDRINUSE";
  const why = isTaken ? "the port is taken; end what holds it, or choose another" : cause.message;
  return new TripodError(isTaken ? "already-exists" : "unavailable", `listen on ${where} for the API server: ${why}`, {
    cause,
  });
}
