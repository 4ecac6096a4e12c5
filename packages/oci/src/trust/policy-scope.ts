import { type ImageReference, formatReference, repositoryOf } from "../reference.ts";
import type { Policy, Requirement } from "./policy.ts";

/** The requirements for an image: those of its most specific scope; `scope` names it for messages. */
export function requirementsFor(
  policy: Policy,
  reference: ImageReference,
): { readonly scope: string; readonly requirements: readonly Requirement[] } {
  for (const scope of scopesOf(reference)) {
    const requirements = policy.docker.get(scope);
    if (requirements !== undefined) return { scope: `${policy.file}, docker ${JSON.stringify(scope)}`, requirements };
  }
  return { scope: `${policy.file}, default`, requirements: policy.byDefault };
}

/** The scopes that hold an image, the most specific first (containers-policy.json(5), "docker:"). */
function scopesOf(reference: ImageReference): string[] {
  const { host } = reference;
  const scopes = [formatReference(reference)];
  for (let name = repositoryOf(reference); ; name = name.slice(0, name.lastIndexOf("/"))) {
    scopes.push(name);
    if (!name.includes("/")) break;
  }
  // Subdomains; a port belongs to the name.
  for (let rest = host; rest.includes("."); ) {
    rest = rest.slice(rest.indexOf(".") + 1);
    scopes.push(`*.${rest}`);
  }
  return [...scopes, ""];
}
