// Made by tools/gen-kubernetes.ts; do not edit.
import type { GroupVersionKind, ListMeta, ObjectMeta, TypeMeta } from "./meta-v1.ts";

export interface APIGroupDiscoveryList extends TypeMeta {
  metadata: ListMeta;
  items?: APIGroupDiscovery[];
}

export interface APIGroupDiscovery extends TypeMeta {
  metadata: ObjectMeta;
  versions?: APIVersionDiscovery[];
}

export interface APIVersionDiscovery {
  version?: string;
  resources?: APIResourceDiscovery[];
  freshness?: DiscoveryFreshness;
}

export interface APIResourceDiscovery {
  resource?: string;
  responseKind?: GroupVersionKind;
  scope?: ResourceScope;
  singularResource?: string;
  verbs?: string[];
  shortNames?: string[];
  categories?: string[];
  subresources?: APISubresourceDiscovery[];
}

export type ResourceScope = string;

export type DiscoveryFreshness = string;

export interface APISubresourceDiscovery {
  subresource?: string;
  responseKind?: GroupVersionKind;
  acceptedTypes?: GroupVersionKind[];
  verbs?: string[];
}
