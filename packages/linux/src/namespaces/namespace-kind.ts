/** The namespaces that Tripod pins for a sandbox, with their CLONE_ flags (clone(2)). */
export const namespaceFlags = { net: 0x40000000, ipc: 0x08000000, uts: 0x04000000 } as const;

export type NamespaceKind = keyof typeof namespaceFlags;

export const namespaceKinds: readonly NamespaceKind[] = ["net", "ipc", "uts"];
