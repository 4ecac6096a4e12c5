import { messageOf, TripodError } from "@tripod/base";
import type { Digest } from "../digest.ts";
import { formatReference, type ImageReference } from "../reference.ts";
import { identityProblem } from "./identity-rule.ts";
import { requirementsFor } from "./policy-scope.ts";
import type { Policy, Requirement } from "./policy.ts";
import { isSignedBy, parseClaim, type Signature } from "./signature.ts";

/** In an error's detail: the kubelet shows an image refused for this as such. */
export const signatureFailure = "SignatureValidationFailed";

export interface TrustQuestion {
  readonly reference: ImageReference;
  /** The documents that lead to the image, from what the name means to the manifest: a signature on any of them holds for the rest. */
  readonly digests: readonly Digest[];
  /** The signatures on a document; asked for only where the policy wants signatures. */
  readonly signaturesOn: (digest: Digest) => Promise<readonly Signature[]>;
}

/** Refuses, before anything is asked of a registry, what the policy rejects whoever signed it. */
export function refuseRejected(policy: Policy, reference: ImageReference): void {
  const { scope, requirements } = requirementsFor(policy, reference);
  for (const requirement of requirements)
    if (requirement.kind === "reject") throw refusal(reference, { scope, why: requirement.why });
}

/** Lets an image in when it meets every requirement of its scope; returns the signatures that it took. */
export async function enforcePolicy(policy: Policy, question: TrustQuestion): Promise<Signature[]> {
  const { reference, digests, signaturesOn } = question;
  refuseRejected(policy, reference);
  const { scope, requirements } = requirementsFor(policy, reference);
  const wanted = requirements.filter((requirement) => requirement.kind === "signed");
  if (wanted.length === 0) return [];
  const offered = (await Promise.all(digests.map(signaturesOn))).flat();
  return wanted.map((requirement) => {
    const problems = new Set<string>();
    for (const signature of offered) {
      const problem = signatureProblem(requirement, question, signature);
      if (problem === undefined) return signature;
      problems.add(problem);
    }
    const why = offered.length === 0 ? "it has no signature" : [...problems].slice(0, 3).join("; ");
    throw refusal(reference, { scope, why });
  });
}

function signatureProblem(
  { keys, identity }: Requirement & { kind: "signed" },
  { reference, digests }: TrustQuestion,
  signature: Signature,
): string | undefined {
  if (!isSignedBy(signature, keys)) return "a signature is none of the policy's keys'";
  try {
    const claim = parseClaim(signature.payload);
    if (!digests.includes(claim.digest)) return "a signature is about another image";
    return identityProblem(identity, reference, claim.reference);
  } catch (error) {
    return `a signature cannot be used: ${messageOf(error)}`;
  }
}

const refusal = (
  reference: ImageReference,
  { scope, why }: { readonly scope: string; readonly why: string },
): TripodError =>
  new TripodError(
    "permission-denied",
    `${formatReference(reference)} is refused by the signature policy (${scope}): ${why}`,
    {
      detail: { reason: signatureFailure },
    },
  );
