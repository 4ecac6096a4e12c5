import type { Container, HTTPGetAction, IntOrString } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";

/** The number of a port that is given by number or by a name among the container's ports. */
export function portNumber(port: IntOrString, container: Container): number {
  const named = (container.ports ?? []).find(({ name }) => name === String(port))?.containerPort;
  const found = named ?? Number(port);
  if (Number.isInteger(found) && found > 0 && found < 65536) return found;
  throw new TripodError("invalid", `port ${port}: container ${container.name} has no port of that name`);
}

/** The URL that an httpGet action asks for; `podIp` unless the action names another host. */
export function httpUrl(action: HTTPGetAction, container: Container, podIp: string): URL {
  const host = action.host === undefined || action.host === "" ? podIp : action.host;
  const scheme = action.scheme === "HTTPS" ? "https" : "http";
  const path = action.path === undefined || action.path === "" ? "/" : action.path;
  const authority = `${host.includes(":") ? `[${host}]` : host}:${portNumber(action.port, container)}`;
  return new URL(`${scheme}://${authority}${path.startsWith("/") ? path : `/${path}`}`);
}
