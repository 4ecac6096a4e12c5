import type { PersistentVolumeClaim, SecretReference } from "@tripod/api/kubernetes";
import { messageOf, TripodError } from "@tripod/base";
import { secretDataOf } from "@tripod/csi";
import { type KubeClient, secrets } from "@tripod/kube";

/** The content of the secret that a volume or class names, as CSI wants it; empty when none is named. */
export async function readSecrets(
  client: KubeClient,
  reference: SecretReference | undefined,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const { name, namespace } = reference ?? {};
  if (name === undefined || namespace === undefined) return {};
  const secret = await client.resource(secrets).get(name, { namespace, signal });
  return secretDataOf(secret);
}

/** As readSecrets() for a volume that may be changing already: a failure is "unavailable", for it says nothing of the volume. */
export async function readSecretsAgain(...args: Parameters<typeof readSecrets>): Promise<Record<string, string>> {
  try {
    return await readSecrets(...args);
  } catch (cause) {
    throw new TripodError("unavailable", messageOf(cause), { cause });
  }
}

/** What stands for ${KEY} in the names of secrets, by KEY: "pv.name", "pvc.annotations['tenant']", "volumesnapshot.name", … */
export type SecretTemplateValues = ReadonlyMap<string, string>;

/** The values that the secrets of a claim's volume may be named by. */
export const claimTemplateValues = (claim: PersistentVolumeClaim, volumeName: string): SecretTemplateValues =>
  new Map([
    ["pv.name", volumeName],
    ["pvc.name", claim.metadata.name ?? ""],
    ["pvc.namespace", claim.metadata.namespace ?? "default"],
    ...Object.entries(claim.metadata.annotations ?? {}).map(
      ([key, value]) => [`pvc.annotations['${key}']`, value] as const,
    ),
  ]);

/**
 * The secret that a class's parameters name for one purpose ("provisioner", "node-stage", …), with templates such as ${pv.name} filled
 * in. Throws "invalid" when half of it is missing, or when nothing is known to fill a template with.
 */
export function secretReference(
  parameters: Readonly<Record<string, string>>,
  purpose: string,
  values: SecretTemplateValues,
): SecretReference | undefined {
  const nameKey = `csi.storage.k8s.io/${purpose}-secret-name`;
  const namespaceKey = `csi.storage.k8s.io/${purpose}-secret-namespace`;
  const [name, namespace] = [parameters[nameKey], parameters[namespaceKey]];
  if (name === undefined && namespace === undefined) return undefined;
  if (name === undefined || namespace === undefined)
    throw new TripodError("invalid", `parameters of the class: ${nameKey} and ${namespaceKey} need each other`);
  return { name: fill(name, values), namespace: fill(namespace, values) };
}

const fill = (template: string, values: SecretTemplateValues): string =>
  template.replace(/\$\{([^}]*)\}/g, (whole, key: string) => {
    const found = values.get(key);
    if (found === undefined)
      throw new TripodError("invalid", `parameters of the class: nothing is known to put in place of ${whole}`);
    return found;
  });
