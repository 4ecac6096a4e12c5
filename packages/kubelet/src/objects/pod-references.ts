import type { Pod } from "@tripod/api/kubernetes";
import { allContainers, namespaceOf } from "../pods/pod-facts.ts";

/** The key of a ConfigMap or a Secret: kind, namespace and name. */
export type ConfigKey = `configMap/${string}/${string}` | `secret/${string}/${string}`;

/** The ConfigMaps and Secrets that a Pod takes its variables, its files and its pull secrets from. */
export function referencedConfig(pod: Pod): Set<ConfigKey> {
  const namespace = namespaceOf(pod);
  const found = new Set<ConfigKey>();
  const add = (kind: "configMap" | "secret", name: string | undefined): void => {
    if (name !== undefined && name !== "") found.add(`${kind}/${namespace}/${name}`);
  };
  for (const { env = [], envFrom = [] } of allContainers(pod)) {
    for (const { valueFrom } of env) {
      add("configMap", valueFrom?.configMapKeyRef?.name);
      add("secret", valueFrom?.secretKeyRef?.name);
    }
    for (const { configMapRef, secretRef } of envFrom) {
      add("configMap", configMapRef?.name);
      add("secret", secretRef?.name);
    }
  }
  for (const { configMap, secret, projected } of pod.spec?.volumes ?? []) {
    add("configMap", configMap?.name);
    add("secret", secret?.secretName);
    for (const source of projected?.sources ?? []) {
      add("configMap", source.configMap?.name);
      add("secret", source.secret?.name);
    }
  }
  for (const { name } of pod.spec?.imagePullSecrets ?? []) add("secret", name);
  return found;
}
