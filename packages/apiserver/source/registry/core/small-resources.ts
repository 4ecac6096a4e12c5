import type { ConfigMap, Lease, RuntimeClass, Secret, ServiceAccount } from "@tripod/api/kubernetes";
import { isDeepStrictEqual } from "node:util";
import type { FieldErrors } from "../field-errors.ts";
import { ageColumn, nameColumn, type ResourceDefinition } from "../resource.ts";

/** All data of a ConfigMap or Secret together, in bytes. */
const dataLimit = 1024 * 1024;
const dataKey = /^[-._a-zA-Z0-9]{1,253}$/;
const keyRule =
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

const count = (...maps: (object | undefined)[]): number =>
  maps.reduce((sum: number, map) => sum + Object.keys(map ?? {}).length, 0);

function checkData(
  field: string,
  data: Readonly<Record<string, string>> | undefined,
  sizeOf: (value: string) => number,
  errors: FieldErrors,
): number {
  let size = 0;
  for (const [key, value] of Object.entries(data ?? {})) {
    if (!dataKey.test(key) || key === "." || key === "..") errors.invalid(`${field}[${key}]`, key, keyRule);
    size += sizeOf(value);
  }
  return size;
}

const base64Size = (text: string): number => Math.floor((text.length * 3) / 4);

function checkImmutable(
  object: { immutable?: boolean; data?: unknown; binaryData?: unknown },
  old: { immutable?: boolean; data?: unknown; binaryData?: unknown },
  errors: FieldErrors,
): void {
  if (!old.immutable) return;
  if (!object.immutable) errors.forbidden("immutable", "field is immutable when `immutable` is set");
  for (const key of ["data", "binaryData"] as const)
    if (!isDeepStrictEqual(object[key], old[key])) errors.forbidden(key, "field is immutable when `immutable` is set");
}

// In this file each cast follows from the resource that its declaration names: objects are decoded as that kind.

export const configMaps: ResourceDefinition = {
  group: "",
  version: "v1",
  kind: "ConfigMap",
  plural: "configmaps",
  singular: "configmap",
  shortNames: ["cm"],
  namespaced: true,
  nameRule: "subdomain",
  storageName: "configmaps",
  columns: [
    nameColumn,
    {
      name: "Data",
      type: "string",
      cell: (object) => count((object as ConfigMap).data, (object as ConfigMap).binaryData),
    },
    ageColumn,
  ],
  hasStatus: false,
  subresources: [],
  validate(object, errors) {
    const { data, binaryData } = object as ConfigMap;
    const size =
      checkData("data", data, (value) => Buffer.byteLength(value), errors) +
      checkData("binaryData", binaryData, base64Size, errors);
    if (size > dataLimit) errors.tooLong("", dataLimit);
    for (const key of Object.keys(data ?? {}))
      if (binaryData !== undefined && Object.hasOwn(binaryData, key))
        errors.invalid(`data[${key}]`, key, "duplicate of key present in binaryData");
  },
  validateUpdate: (object, old, errors) => checkImmutable(object as ConfigMap, old as ConfigMap, errors),
};

export const secrets: ResourceDefinition = {
  group: "",
  version: "v1",
  kind: "Secret",
  plural: "secrets",
  singular: "secret",
  namespaced: true,
  nameRule: "subdomain",
  storageName: "secrets",
  columns: [
    nameColumn,
    { name: "Type", type: "string", cell: (object) => (object as Secret).type },
    { name: "Data", type: "string", cell: (object) => count((object as Secret).data) },
    ageColumn,
  ],
  hasStatus: false,
  subresources: [],
  selectableFields: (object) => ({ type: (object as Secret).type ?? "" }),
  prepareCreate: (object) => prepareSecret(object as Secret),
  prepareUpdate: (object, old) => {
    (object as Secret).type ||= (old as Secret).type ?? "";
    prepareSecret(object as Secret);
  },
  validate(object, errors) {
    const secret = object as Secret;
    if (checkData("data", secret.data, base64Size, errors) > dataLimit) errors.tooLong("data", dataLimit);
    if (secret.type === "kubernetes.io/dockerconfigjson" && secret.data?.[".dockerconfigjson"] === undefined)
      errors.required("data[.dockerconfigjson]");
    if (secret.type === "kubernetes.io/tls")
      for (const key of ["tls.crt", "tls.key"]) if (secret.data?.[key] === undefined) errors.required(`data[${key}]`);
  },
  validateUpdate(object, old, errors) {
    if ((object as Secret).type !== (old as Secret).type)
      errors.invalid("type", (object as Secret).type, "field is immutable");
    checkImmutable(object as Secret, old as Secret, errors);
  },
};

/** stringData is written only: it becomes data. */
function prepareSecret(secret: Secret): void {
  secret.type ||= "Opaque";
  if (secret.stringData === undefined) return;
  const encoded = Object.entries(secret.stringData).map(
    ([key, value]) => [key, Buffer.from(value).toString("base64")] as const,
  );
  secret.data = { ...secret.data, ...Object.fromEntries(encoded) };
  delete secret.stringData;
}

export const serviceAccounts: ResourceDefinition = {
  group: "",
  version: "v1",
  kind: "ServiceAccount",
  plural: "serviceaccounts",
  singular: "serviceaccount",
  shortNames: ["sa"],
  namespaced: true,
  nameRule: "subdomain",
  storageName: "serviceaccounts",
  columns: [
    nameColumn,
    { name: "Secrets", type: "string", cell: (object) => (object as ServiceAccount).secrets?.length ?? 0 },
    ageColumn,
  ],
  hasStatus: false,
  subresources: [
    { name: "token", kind: { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" }, verbs: ["create"] },
  ],
};

export const leases: ResourceDefinition = {
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  plural: "leases",
  singular: "lease",
  namespaced: true,
  nameRule: "subdomain",
  storageName: "leases",
  columns: [
    nameColumn,
    { name: "Holder", type: "string", cell: (object) => (object as Lease).spec?.holderIdentity },
    ageColumn,
  ],
  hasStatus: false,
  subresources: [],
};

export const runtimeClasses: ResourceDefinition = {
  group: "node.k8s.io",
  version: "v1",
  kind: "RuntimeClass",
  plural: "runtimeclasses",
  singular: "runtimeclass",
  namespaced: false,
  nameRule: "subdomain",
  storageName: "runtimeclasses",
  columns: [
    nameColumn,
    { name: "Handler", type: "string", cell: (object) => (object as unknown as RuntimeClass).handler },
    ageColumn,
  ],
  hasStatus: false,
  subresources: [],
  validate(object, errors) {
    const { handler } = object as unknown as RuntimeClass;
    if (!handler) errors.required("handler");
    else if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(handler))
      errors.invalid(
        "handler",
        handler,
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'",
      );
  },
  validateUpdate(object, old, errors) {
    if ((object as unknown as RuntimeClass).handler !== (old as unknown as RuntimeClass).handler)
      errors.invalid("handler", (object as unknown as RuntimeClass).handler, "field is immutable");
  },
};
