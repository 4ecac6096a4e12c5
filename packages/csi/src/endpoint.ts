import { isAbsolute, normalize } from "node:path";
import { TripodError } from "@tripod/base";

/** The longest path of a unix socket (sun_path without its final NUL). */
const maxSocketPathBytes = 107;

/** The socket's path of a CSI endpoint: unix:///run/csi.sock, or the bare absolute path. */
export function parseEndpoint(endpoint: string): string {
  const path = endpoint.startsWith("unix://") ? endpoint.slice("unix://".length) : endpoint;
  if (!isAbsolute(path) || normalize(path) !== path)
    throw new TripodError(
      "invalid",
      `CSI endpoint ${JSON.stringify(endpoint)}: not unix:// and an absolute path, as in unix:///run/csi.sock`,
    );
  if (Buffer.byteLength(path) > maxSocketPathBytes)
    throw new TripodError(
      "invalid",
      `CSI endpoint ${endpoint}: longer than the ${maxSocketPathBytes} bytes of a socket's path; use a shorter folder`,
    );
  return path;
}
