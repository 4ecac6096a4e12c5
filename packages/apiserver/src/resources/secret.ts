import type { Secret } from "@tripod/api/kubernetes";
import type { FieldErrors } from "../registry/field-errors.ts";
import { defineResource } from "../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../table/column.ts";
import { checkConfigData, checkImmutable, entryCount } from "./config-data.ts";

/** Keys that a Secret of a type must have. */
const requiredKeys: Readonly<Record<string, readonly string[]>> = {
  "kubernetes.io/dockercfg": [".dockercfg"],
  "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
  "kubernetes.io/ssh-auth": ["ssh-privatekey"],
  "kubernetes.io/tls": ["tls.crt", "tls.key"],
};

/** Credentials of registries must be JSON; nothing of them is shown. */
function checkDockerConfig(data: Readonly<Record<string, string>>, key: string, errors: FieldErrors): void {
  try {
    JSON.parse(Buffer.from(data[key] ?? "", "base64").toString());
  } catch {
    errors.invalid(`data[${key}]`, "<secret contents redacted>", "must be valid JSON");
  }
}

export const secrets = defineResource<Secret>({
  group: "",
  version: "v1",
  kind: "Secret",
  plural: "secrets",
  singular: "secret",
  namespaced: true,
  nameRule: "subdomain",
  columns: [
    nameColumn,
    textColumn<Secret>("Type", ({ type }) => type),
    { name: "Data", type: "string", cell: ({ data }) => entryCount(data) },
    ageColumn,
  ],
  selectableFields: ({ type = "" }) => ({ type }),
  applyDefaults(secret) {
    secret.type ||= "Opaque";
    if (secret.stringData === undefined) return;
    // It is written only, and becomes data.
    const encoded = Object.entries(secret.stringData).map(([key, text]) => [key, Buffer.from(text).toString("base64")]);
    secret.data = { ...secret.data, ...Object.fromEntries(encoded) };
    delete secret.stringData;
  },
  validate(secret, errors) {
    const { data = {}, type = "" } = secret;
    checkConfigData(secret, errors, { isBase64: true, sizeField: "data" });
    for (const key of requiredKeys[type] ?? []) {
      if (!Object.hasOwn(data, key)) errors.required(`data[${key}]`);
      else if (key.startsWith(".docker")) checkDockerConfig(data, key, errors);
    }
  },
  validateUpdate(secret, old, errors) {
    if (secret.type !== old.type) errors.invalid("type", secret.type, "field is immutable");
    checkImmutable(secret, old, errors);
  },
});
