/** A volume that is ready for containers. */
export type MountedVolume =
  | { readonly kind: "folder"; readonly hostPath: string; readonly readOnly: boolean }
  /** A host path that may be a file or a device node, handed to the container as it is. */
  | { readonly kind: "host"; readonly hostPath: string; readonly readOnly: boolean }
  | { readonly kind: "device"; readonly devicePath: string; readonly readOnly: boolean };
