import type { AddressSpec, BridgeVlan, LinkChanges, LinkSpec, RouteSpec } from "@tripod/linux";

/** One step on the network configuration of one namespace. Links are named; what has an index is looked up when it is applied. */
export type Operation =
  | { readonly kind: "add-link"; readonly link: LinkSpec; readonly under?: string }
  | { readonly kind: "set-link"; readonly name: string; readonly changes: LinkChanges; readonly bridge?: string }
  | { readonly kind: "add-vlan"; readonly name: string; readonly vlan: BridgeVlan; readonly self?: boolean }
  | { readonly kind: "clear-vlans"; readonly name: string }
  | { readonly kind: "add-address"; readonly name: string; readonly address: Omit<AddressSpec, "index"> }
  | { readonly kind: "delete-address"; readonly name: string; readonly address: string }
  | { readonly kind: "add-route"; readonly name: string; readonly route: Omit<RouteSpec, "index"> }
  | { readonly kind: "set-sysctl"; readonly name: string; readonly value: string };
