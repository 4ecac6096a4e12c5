import { TripodError } from "@tripod/base";
import { type Digest, isDigest } from "./digest.ts";

/** A whole, normalised image name. */
export interface ImageReference {
  /** "docker.io", "registry.k8s.io", "localhost:5000", "[::1]:5000". */
  readonly host: string;
  /** "library/busybox". */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const component = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const hostPattern = new RegExp(`^(?:${label}(?:\\.${label})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]{1,5})?$`);

const refuse = (text: string, why: string): TripodError =>
  new TripodError("invalid", `image reference ${JSON.stringify(text.slice(0, 300))}: ${why}`);

/**
 * Reads a name as docker does: no host is docker.io, no folder there is library/, neither tag nor digest is :latest. Source:
 * github.com/distribution/reference's documented grammar.
 */
export function parseReference(text: string): ImageReference {
  if (text.length === 0) throw refuse(text, "is empty");
  if (text.length > 1024) throw refuse(text, "is too long");
  if (/^[0-9a-f]{64}$/.test(text)) throw refuse(text, "is an id; a name is needed");
  const at = text.indexOf("@");
  const digest = at === -1 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !isDigest(digest)) throw refuse(text, "after the @ must come sha256: and 64 hex digits");
  const named = at === -1 ? text : text.slice(0, at);
  const colon = named.indexOf(":", named.lastIndexOf("/") + 1);
  const tag = colon === -1 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !tagPattern.test(tag)) throw refuse(text, `${JSON.stringify(tag)} is not a tag`);
  const { host, repository } = splitHost(colon === -1 ? named : named.slice(0, colon));
  if (!hostPattern.test(host)) throw refuse(text, `${JSON.stringify(host)} is not a registry's host`);
  if (repository.length + host.length > 255) throw refuse(text, "the name is longer than 255 characters");
  if (!repository.split("/").every((part) => component.test(part))) {
    throw refuse(
      text,
      /[A-Z]/.test(repository)
        ? "the repository must be in lower case"
        : `${JSON.stringify(repository)} is not a repository's name`,
    );
  }
  return {
    host,
    repository,
    ...(tag === undefined ? (digest === undefined ? { tag: "latest" } : {}) : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

function splitHost(name: string): { host: string; repository: string } {
  const slash = name.indexOf("/");
  const first = slash === -1 ? "" : name.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase();
  let host = isHost ? first : "docker.io";
  let repository = isHost ? name.slice(slash + 1) : name;
  if (host === "index.docker.io" || host === "registry-1.docker.io") host = "docker.io";
  if (host === "docker.io" && !repository.includes("/")) repository = `library/${repository}`;
  return { host, repository };
}

/** "host/repository". */
export const repositoryOf = (reference: ImageReference): string => `${reference.host}/${reference.repository}`;

/** "host/repository:tag"; undefined without a tag. */
export const tagReferenceOf = (reference: ImageReference): string | undefined =>
  reference.tag === undefined ? undefined : `${repositoryOf(reference)}:${reference.tag}`;

/** The whole name, tag and digest included. */
export function formatReference(reference: ImageReference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${repositoryOf(reference)}${tag}${digest}`;
}
