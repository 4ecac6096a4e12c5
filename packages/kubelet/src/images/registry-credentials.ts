import type { Secret } from "@tripod/api/kubernetes";

/** What a registry is told of who asks. */
export interface RegistryCredentials {
  readonly username: string;
  readonly password: string;
  readonly identityToken: string;
  readonly registryToken: string;
}

interface DockerAuth {
  readonly username?: unknown;
  readonly password?: unknown;
  readonly auth?: unknown;
  readonly identitytoken?: unknown;
  readonly registrytoken?: unknown;
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** The registry host and the repository path of an image reference, with Docker Hub's names filled in. */
export function registryAndPath(image: string): { readonly registry: string; readonly path: string } {
  const slash = image.indexOf("/");
  const first = slash < 0 ? "" : image.slice(0, slash);
  const isHost = first.includes(".") || first.includes(":") || first === "localhost";
  const rest = isHost ? image.slice(slash + 1) : image;
  const name = rest.replace(/@.*$/, "").replace(/:[^/]*$/, "");
  if (isHost) return { registry: first, path: name };
  return { registry: "docker.io", path: name.includes("/") ? name : `library/${name}` };
}

/** The host and path that a key of a docker configuration stands for: with or without https://, /v1/ and a path. */
function parseKey(key: string): { readonly host: string; readonly path: string } {
  const bare = key
    .replace(/^https?:\/\//, "")
    .replace(/\/v[12]\/?$/, "")
    .replace(/\/$/, "");
  const slash = bare.indexOf("/");
  const host = slash < 0 ? bare : bare.slice(0, slash);
  return { host: host === "index.docker.io" ? "docker.io" : host, path: slash < 0 ? "" : bare.slice(slash + 1) };
}

/** Matches `*` within one label of the host name. */
function hostMatches(pattern: string, host: string): boolean {
  const labels = host.split(".");
  const wanted = pattern.split(".");
  if (labels.length !== wanted.length) return false;
  return wanted.every((part, index) => {
    const source = part.replace(/[\\^$+?()[\]{}|]/g, "\\$&").replaceAll("*", ".*");
    return new RegExp(`^${source}$`).test(labels[index] ?? "");
  });
}

function credentialsOf(auth: DockerAuth): RegistryCredentials {
  const decoded = Buffer.from(text(auth.auth), "base64").toString("utf8");
  const colon = decoded.indexOf(":");
  return {
    username: text(auth.username) || (colon < 0 ? "" : decoded.slice(0, colon)),
    password: text(auth.password) || (colon < 0 ? "" : decoded.slice(colon + 1)),
    identityToken: text(auth.identitytoken),
    registryToken: text(auth.registrytoken),
  };
}

function authsOf(secret: Secret): Record<string, DockerAuth> {
  const encoded = secret.data?.[".dockerconfigjson"] ?? secret.data?.[".dockercfg"];
  if (encoded === undefined) return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(encoded, "base64").toString("utf8"));
  } catch {
    return {}; // as upstream: a pull secret that cannot be read is as none, and the registry's refusal is reported
  }
  const top = parsed as { auths?: unknown } | null; // looked at below
  const auths = secret.data?.[".dockerconfigjson"] === undefined ? parsed : top?.auths;
  return typeof auths === "object" && auths !== null ? (auths as Record<string, DockerAuth>) : {}; // fields are read by text()
}

/** The credentials in `secrets` that are meant for the image's registry, the most specific first. */
export function credentialsFor(image: string, secrets: readonly Secret[]): RegistryCredentials[] {
  const { registry, path } = registryAndPath(image);
  return secrets
    .flatMap((secret) => Object.entries(authsOf(secret)))
    .map(([key, auth]) => ({ ...parseKey(key), auth }))
    .filter(
      (entry) =>
        hostMatches(entry.host, registry) &&
        (path === entry.path || path.startsWith(entry.path === "" ? "" : `${entry.path}/`)),
    )
    .toSorted((a, b) => b.path.length - a.path.length)
    .map(({ auth }) => credentialsOf(auth));
}
