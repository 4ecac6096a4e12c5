/** A volume that is ready for containers. */
export type MountedVolume =
  | { readonly kind: "folder"; readonly hostPath: string; readonly readOnly: boolean }
  /** A host path that may be a file or a device node, handed to the container as it is. */
  | { readonly kind: "host"; readonly hostPath: string; readonly readOnly: boolean }
  /** Mounted by the runtime, which has pulled it. */
  | { readonly kind: "image"; readonly imageRef: string; readonly readOnly: true }
  | { readonly kind: "device"; readonly devicePath: string; readonly readOnly: boolean };
