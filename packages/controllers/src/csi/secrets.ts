import type { SecretReference } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
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

export interface SecretTemplateValues {
  readonly volumeName: string;
  readonly claimName: string;
  readonly claimNamespace: string;
  readonly claimAnnotations: Readonly<Record<string, string>>;
}

/**
 * The secret that a class's parameters name for one purpose ("provisioner", "node-stage", …), with ${pv.name}, ${pvc.name},
 * ${pvc.namespace} and ${pvc.annotations['KEY']} filled in. Throws "invalid" when half of it is missing.
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
    throw new TripodError("invalid", `storage class: ${nameKey} and ${namespaceKey} need each other`);
  return { name: fill(name, values), namespace: fill(namespace, values) };
}

const fill = (template: string, values: SecretTemplateValues): string =>
  template.replace(
    /\$\{(?:pvc\.annotations\['([^']*)'\]|(pv\.name|pvc\.name|pvc\.namespace|[^}]*))\}/g,
    (whole, annotation?: string, key?: string) => {
      const found =
        annotation !== undefined
          ? values.claimAnnotations[annotation]
          : key === "pv.name"
            ? values.volumeName
            : key === "pvc.name"
              ? values.claimName
              : key === "pvc.namespace"
                ? values.claimNamespace
                : undefined;
      if (found === undefined)
        throw new TripodError("invalid", `storage class: nothing is known to put in place of ${whole}`);
      return found;
    },
  );
