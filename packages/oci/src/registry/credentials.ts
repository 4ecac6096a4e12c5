import { TripodError } from "@tripod/base";
import type { RegistryAuth } from "../image.ts";

/** What a registry gets to see. */
export type Credentials =
  | { readonly kind: "anonymous" }
  | { readonly kind: "basic"; readonly username: string; readonly password: string }
  | { readonly kind: "identity"; readonly token: string }
  | { readonly kind: "bearer"; readonly token: string };

/** The host that a server address of docker's kind names: "https://index.docker.io/v1/" is docker.io. */
function hostOfAddress(address: string): string {
  const host = address.replace(/^https?:\/\//, "").split("/")[0] ?? "";
  return host === "index.docker.io" || host === "registry-1.docker.io" ? "docker.io" : host;
}

/** Credentials of a CRI AuthConfig for the registry `host`; those for another one are not used. */
export function credentialsFor(auth: RegistryAuth | undefined, host: string): Credentials {
  if (auth === undefined) return { kind: "anonymous" };
  if (auth.serverAddress !== undefined && auth.serverAddress !== "" && hostOfAddress(auth.serverAddress) !== host) {
    return { kind: "anonymous" };
  }
  if (auth.registryToken) return { kind: "bearer", token: auth.registryToken };
  if (auth.identityToken) return { kind: "identity", token: auth.identityToken };
  if (auth.username) return { kind: "basic", username: auth.username, password: auth.password ?? "" };
  if (auth.auth) {
    const text = Buffer.from(auth.auth, "base64").toString();
    const colon = text.indexOf(":");
    if (colon < 1)
      throw new TripodError("invalid", `credentials for ${host}: auth is not base64 of "username:password"`);
    return { kind: "basic", username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, "") };
  }
  return { kind: "anonymous" };
}

export const basicHeader = ({ username, password }: { username: string; password: string }): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
