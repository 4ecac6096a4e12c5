import type { ConfigMap, Container, EnvVar, EnvVarSource, Pod, Secret } from "@tripod/api/kubernetes";
import { messageOf } from "@tripod/base";
import { namespaceOf } from "../pods/pod-facts.ts";
import { expandVariables } from "./expand-variables.ts";
import { fieldValue, type PodFacts, resourceValue } from "./field-value.ts";
import { StartError } from "./start-error.ts";

/** Where a Pod's configuration comes from. An object that does not exist is undefined. */
export interface ConfigSource {
  configMap(namespace: string, name: string): Promise<ConfigMap | undefined>;
  secret(namespace: string, name: string): Promise<Secret | undefined>;
}

export interface EnvironmentInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly facts: PodFacts;
  readonly source: ConfigSource;
  /** Variables that come before the container's own: the addresses of services. */
  readonly serviceVariables: ReadonlyMap<string, string>;
}

const configError = (message: string): StartError => new StartError("CreateContainerConfigError", message);

const decode = (base64: string): string => Buffer.from(base64, "base64").toString("utf8");

/** The keys and values that an envFrom source brings; undefined when an optional one is absent. */
async function sourceEntries(
  kind: "configMap" | "secret",
  reference: { readonly name?: string | undefined; readonly optional?: boolean | undefined },
  { pod, source }: EnvironmentInput,
): Promise<Map<string, string> | undefined> {
  const namespace = namespaceOf(pod);
  const name = reference.name ?? "";
  const found = kind === "configMap" ? await source.configMap(namespace, name) : await source.secret(namespace, name);
  if (found === undefined) {
    if (reference.optional === true) return undefined;
    throw configError(`${kind.toLowerCase()} "${name}" not found`);
  }
  const entries = Object.entries(found.data ?? {}) as [string, string][]; // both kinds map a key to a string
  return new Map(entries.map(([key, value]) => [key, kind === "secret" ? decode(value) : value]));
}

async function keyValue(
  kind: "configMap" | "secret",
  reference: { readonly name?: string; readonly key: string; readonly optional?: boolean },
  input: EnvironmentInput,
): Promise<string | undefined> {
  const entries = await sourceEntries(kind, reference, input);
  const value = entries?.get(reference.key);
  if (value === undefined && entries !== undefined && reference.optional !== true) {
    const where = `${kind === "secret" ? "Secret" : "ConfigMap"} ${namespaceOf(input.pod)}/${reference.name}`;
    throw configError(`couldn't find key ${reference.key} in ${where}`);
  }
  return value;
}

/** The value of a variable that is taken from elsewhere; undefined leaves the variable out. */
async function valueFrom(from: EnvVarSource, input: EnvironmentInput): Promise<string | undefined> {
  const { pod, facts } = input;
  if (from.configMapKeyRef !== undefined) return keyValue("configMap", from.configMapKeyRef, input);
  if (from.secretKeyRef !== undefined) return keyValue("secret", from.secretKeyRef, input);
  try {
    if (from.fieldRef !== undefined) return fieldValue(pod, from.fieldRef, facts);
    if (from.resourceFieldRef !== undefined) {
      const named = from.resourceFieldRef.containerName;
      const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
      const container = named === undefined ? input.container : containers.find(({ name }) => name === named);
      if (container === undefined) throw configError(`resourceFieldRef: no container is called ${named}`);
      return resourceValue(container, from.resourceFieldRef, facts);
    }
  } catch (error) {
    throw error instanceof StartError ? error : configError(messageOf(error));
  }
  throw configError("valueFrom names no source that this kubelet knows");
}

/** The whole environment of a container, in the order of first mention; a later value of a name wins. */
export async function buildEnvironment(input: EnvironmentInput): Promise<Map<string, string>> {
  const environment = new Map(input.serviceVariables);
  for (const { prefix = "", configMapRef, secretRef } of input.container.envFrom ?? []) {
    const entries =
      configMapRef !== undefined
        ? await sourceEntries("configMap", configMapRef, input)
        : secretRef !== undefined
          ? await sourceEntries("secret", secretRef, input)
          : undefined;
    for (const [key, value] of entries ?? []) environment.set(`${prefix}${key}`, value);
  }
  for (const { name, value, valueFrom: from } of (input.container.env ?? []) as readonly EnvVar[]) {
    const found =
      from === undefined
        ? expandVariables(value ?? "", (other) => environment.get(other))
        : await valueFrom(from, input);
    if (found !== undefined) environment.set(name, found);
  }
  return environment;
}
