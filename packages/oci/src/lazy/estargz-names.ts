// What an eStargz layer is known by (containerd's stargz-snapshotter, docs/estargz.md).

/** The annotation of a layer's descriptor that holds the digest of its table of contents, decompressed. */
export const tocDigestAnnotation = "containerd.io/snapshot/stargz/toc.digest";
/** How many bytes the layer has decompressed. */
export const uncompressedSizeAnnotation = "io.containers.estargz.uncompressed-size";
/** The member, last of the archive, that is the table of contents. */
export const tocName = "stargz.index.json";
/** Members that tell who unpacks lazily what to fetch first: no files of the image. */
export const landmarkNames: ReadonlySet<string> = new Set([".prefetch.landmark", ".no.prefetch.landmark"]);

/** The last bytes of a layer: an empty gzip member that says where the table of contents begins. */
export const footerBytes = 51;
/** The same in layers of before eStargz. */
export const legacyFooterBytes = 47;
