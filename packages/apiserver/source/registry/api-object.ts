import type { KubernetesObject } from "@tripod/api/kubernetes";

/** Any object of the API. What is not metadata is read by the resource that it belongs to, under its generated type. */
export type ApiObject = KubernetesObject & Record<string, unknown>;
