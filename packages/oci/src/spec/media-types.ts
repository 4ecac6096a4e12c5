/** Media types of the OCI image spec and of docker's image manifest v2 schema 2, which mean the same. */
export const mediaTypes = {
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  ociLayerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
} as const;

/** What manifests and indexes we ask registries for, and push. */
export const manifestTypes: readonly string[] = [
  mediaTypes.ociIndex,
  mediaTypes.dockerIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerManifest,
];

export const isIndexType = (type: string): boolean => type === mediaTypes.ociIndex || type === mediaTypes.dockerIndex;
export const isManifestType = (type: string): boolean =>
  type === mediaTypes.ociManifest || type === mediaTypes.dockerManifest;
export const isConfigType = (type: string): boolean =>
  type === mediaTypes.ociConfig || type === mediaTypes.dockerConfig;

const layerPattern =
  /^application\/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+gzip|\+zstd)?|docker\.image\.rootfs\.(diff|foreign\.diff)\.tar(\.gzip|\.zstd)?)$/;

/** True for layers that are tars, plain or compressed. */
export const isLayerType = (type: string): boolean => layerPattern.test(type);
