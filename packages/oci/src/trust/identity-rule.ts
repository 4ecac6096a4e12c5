import { TripodError } from "@tripod/base";
import { formatReference, type ImageReference, parseReference, repositoryOf } from "../reference.ts";
import { objectAt, stringAt } from "../spec/json.ts";

/** Which image a signature must be about (containers-policy.json(5), "signedIdentity"). */
export type IdentityRule =
  | { readonly type: "matchExact" | "matchRepoDigestOrExact" | "matchRepository" }
  | { readonly type: "exactReference"; readonly reference: string }
  | { readonly type: "exactRepository"; readonly repository: string }
  | { readonly type: "remapIdentity"; readonly prefix: string; readonly signedPrefix: string };

export function parseIdentityRule(value: unknown, where: string): IdentityRule {
  if (value === undefined) return { type: "matchRepoDigestOrExact" };
  const object = objectAt(value, where);
  const at = (key: string): string => stringAt(object[key], `${where}.${key}`);
  const type = at("type");
  if (type === "matchExact" || type === "matchRepoDigestOrExact" || type === "matchRepository") return { type };
  if (type === "exactReference") return { type, reference: formatReference(parseReference(at("dockerReference"))) };
  if (type === "exactRepository") return { type, repository: repositoryOf(parseReference(at("dockerRepository"))) };
  if (type === "remapIdentity") return { type, prefix: at("prefix"), signedPrefix: at("signedPrefix") };
  throw new TripodError("invalid", `${where}.type: ${JSON.stringify(type)} is not known here`);
}

/** Why a signature about `signed` ("host/repository" or with a tag) does not speak of `asked`; undefined when it does. */
export function identityProblem(rule: IdentityRule, asked: ImageReference, signed: string): string | undefined {
  let about: ImageReference;
  try {
    about = parseReference(signed);
  } catch {
    return "it is about what is no image's name";
  }
  // parseReference() fills in :latest; a signature that names no tag is about none.
  const bare = signed.slice(signed.lastIndexOf("/") + 1);
  const exact = formatReference(about);
  const named = /[:@]/.test(bare) ? exact : repositoryOf(about);
  const must = (wanted: string, is: string): string | undefined => {
    if (wanted === is) return undefined;
    const hint =
      is === named && is === repositoryOf(about)
        ? ', as cosign signs; for that set signedIdentity to {"type": "matchRepository"}'
        : "";
    return `it is about ${named}, not ${wanted}${hint}`;
  };
  const orRepository = (wanted: ImageReference): string | undefined =>
    wanted.digest === undefined
      ? must(formatReference(wanted), named)
      : must(repositoryOf(wanted), repositoryOf(about));
  switch (rule.type) {
    case "matchExact":
      return must(formatReference(asked), named);
    case "matchRepoDigestOrExact":
      return orRepository(asked);
    case "matchRepository":
      return must(repositoryOf(asked), repositoryOf(about));
    case "exactReference":
      return must(rule.reference, named);
    case "exactRepository":
      return must(rule.repository, repositoryOf(about));
    case "remapIdentity":
      return orRepository(remapped(rule, asked));
  }
}

function remapped(
  rule: { readonly prefix: string; readonly signedPrefix: string },
  asked: ImageReference,
): ImageReference {
  const { prefix, signedPrefix } = rule;
  const repository = repositoryOf(asked);
  if (repository !== prefix && !repository.startsWith(`${prefix}/`)) return asked;
  const { host, repository: path } = parseReference(`${signedPrefix}${repository.slice(prefix.length)}`);
  return { ...asked, host, repository: path };
}
