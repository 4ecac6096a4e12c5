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

/** What whoever makes a claim or a snapshot chooses: it may choose among secrets of a namespace, and not the namespace. */
const isChosenByUser = (key: string): boolean =>
  ["pvc.name", "volumesnapshot.name", "volumegroupsnapshot.name"].includes(key) || key.startsWith("pvc.annotations[");

/** A part of a name, and a name, as DNS has them. */
const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const isNamespace = (text: string): boolean => text.length <= 63 && new RegExp(`^${label}$`).test(text);
const isSecretName = (text: string): boolean => text.length <= 253 && new RegExp(`^${label}(\\.${label})*$`).test(text);

/**
 * The secret that a class's parameters name for one purpose ("provisioner", "node-stage", …; "": for those that have none of their own), with
 * templates such as ${pv.name} filled in. Throws "invalid" when half of it is missing, when nothing is known to fill a template with, when a
 * user would choose the namespace, and for what can be no name.
 */
export function secretReference(
  parameters: Readonly<Record<string, string>>,
  purpose: string,
  values: SecretTemplateValues,
): Required<SecretReference> | undefined {
  const start = `csi.storage.k8s.io/${purpose === "" ? "" : `${purpose}-`}secret`;
  const [nameKey, namespaceKey] = [`${start}-name`, `${start}-namespace`];
  const [name, namespace] = [parameters[nameKey], parameters[namespaceKey]];
  if (name === undefined && namespace === undefined) return undefined;
  if (name === undefined || namespace === undefined)
    throw new TripodError("invalid", `parameters of the class: ${nameKey} and ${namespaceKey} need each other`);
  const ofNamespace = new Map([...values].filter(([key]) => !isChosenByUser(key)));
  const reference = { name: fill(name, values), namespace: fill(namespace, ofNamespace) };
  if (!isSecretName(reference.name)) throw notAName(nameKey, name);
  if (!isNamespace(reference.namespace)) throw notAName(namespaceKey, namespace);
  return reference;
}

const notAName = (key: string, template: string): TripodError =>
  new TripodError("invalid", `parameters of the class: ${key} ${template} gives no valid name`);

const fill = (template: string, values: SecretTemplateValues): string =>
  template.replace(/\$\{([^}]*)\}/g, (whole, key: string) => {
    const found = values.get(key);
    if (found === undefined)
      throw new TripodError("invalid", `parameters of the class: nothing is known to put in place of ${whole}`);
    return found;
  });
