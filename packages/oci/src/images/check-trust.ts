import { isTripodError, TripodError } from "@tripod/base";
import { parseReference } from "../reference.ts";
import { enforcePolicy } from "../trust/enforce-policy.ts";
import { loadPolicy } from "../trust/policy.ts";
import type { Store } from "./store.ts";

/**
 * Asks the signature policy of this moment about an image that is here already, by the signatures it came with: it is let in when one of
 * the names that it was pulled by is. One that never came from a registry (built, imported) is not asked about; an unknown one neither.
 */
export async function checkTrust(store: Store, nameOrId: string): Promise<void> {
  const policy = await loadPolicy(store.layout.etcDir);
  const { records } = store;
  const id = policy === undefined ? undefined : records.idOf(nameOrId);
  if (policy === undefined || id === undefined) return;
  let failure: TripodError | undefined;
  for (const [name, { imageId, documents, signatures = [] }] of records.names.entries()) {
    if (imageId !== id || documents.length === 0) continue;
    const stored = signatures.map(({ payload, signature }) => ({
      payload: Buffer.from(payload, "base64"),
      signature: Buffer.from(signature, "base64"),
    }));
    try {
      await enforcePolicy(policy, {
        reference: parseReference(name),
        digests: documents,
        signaturesOn: async (digest) => (digest === documents[0] ? stored : []),
      });
      return;
    } catch (error) {
      if (!isTripodError(error)) throw error;
      failure = error;
    }
  }
  if (failure === undefined) return;
  const { code, detail } = failure;
  const hint = "where it was signed or the policy was changed since it was pulled, pull it again";
  throw new TripodError(code, `${failure.message}; ${hint}`, { cause: failure, detail });
}
