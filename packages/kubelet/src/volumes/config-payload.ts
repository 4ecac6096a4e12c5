import type { ConfigMap, ConfigMapProjection, Pod, Secret, SecretProjection } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import type { ConfigSource } from "../containers/environment.ts";
import { namespaceOf } from "../pods/pod-facts.ts";
import { type PayloadFile, payloadOfKeys } from "./payload.ts";

const decode = (base64: string): Uint8Array => Buffer.from(base64, "base64");

/** The bytes of a ConfigMap's keys. */
function configMapEntries({ data = {}, binaryData = {} }: ConfigMap): Map<string, Uint8Array> {
  return new Map<string, Uint8Array>([
    ...Object.entries(data).map(([key, value]): [string, Uint8Array] => [key, Buffer.from(value)]),
    ...Object.entries(binaryData).map(([key, value]): [string, Uint8Array] => [key, decode(value)]),
  ]);
}

/** The bytes of a Secret's keys. */
const secretEntries = ({ data = {} }: Secret): Map<string, Uint8Array> =>
  new Map(Object.entries(data).map(([key, value]) => [key, decode(value)]));

/** The files of a configMap volume; a missing ConfigMap is a "not-found" error unless it is optional. */
export async function configMapPayload(
  pod: Pod,
  reference: ConfigMapProjection,
  { source, defaultMode }: { readonly source: ConfigSource; readonly defaultMode: number },
): Promise<Map<string, PayloadFile>> {
  const { name = "", items, optional = false } = reference;
  const found = await source.configMap(namespaceOf(pod), name);
  if (found === undefined && !optional) throw new TripodError("not-found", `configmap "${name}" not found`);
  const entries = found === undefined ? new Map<string, Uint8Array>() : configMapEntries(found);
  return payloadOfKeys(entries, { items, defaultMode, optional, origin: `configmap ${namespaceOf(pod)}/${name}` });
}

/** The files of a secret volume; a missing Secret is a "not-found" error unless it is optional. */
export async function secretPayload(
  pod: Pod,
  reference: SecretProjection,
  { source, defaultMode }: { readonly source: ConfigSource; readonly defaultMode: number },
): Promise<Map<string, PayloadFile>> {
  const { name = "", items, optional = false } = reference;
  const found = await source.secret(namespaceOf(pod), name);
  if (found === undefined && !optional) throw new TripodError("not-found", `secret "${name}" not found`);
  const entries = found === undefined ? new Map<string, Uint8Array>() : secretEntries(found);
  return payloadOfKeys(entries, { items, defaultMode, optional, origin: `secret ${namespaceOf(pod)}/${name}` });
}
