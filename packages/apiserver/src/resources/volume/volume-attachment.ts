import { isDeepStrictEqual } from "node:util";
import type { VolumeAttachment } from "@tripod/api/kubernetes";
import { defineResource } from "../../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../../table/column.ts";

export const volumeAttachments = defineResource<VolumeAttachment>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "VolumeAttachment",
  plural: "volumeattachments",
  singular: "volumeattachment",
  namespaced: false,
  nameRule: "subdomain",
  hasStatus: true,
  columns: [
    nameColumn,
    textColumn<VolumeAttachment>("Attacher", ({ spec }) => spec.attacher),
    textColumn<VolumeAttachment>("PV", ({ spec }) => spec.source?.persistentVolumeName),
    textColumn<VolumeAttachment>("Node", ({ spec }) => spec.nodeName),
    { name: "Attached", type: "boolean", cell: ({ status }) => status?.attached ?? false },
    ageColumn,
  ],
  prepareCreate(attachment) {
    delete attachment.status;
  },
  validate({ spec }, errors) {
    if (!spec?.attacher) errors.required("spec.attacher");
    if (!spec?.nodeName) errors.required("spec.nodeName");
    const { persistentVolumeName, inlineVolumeSpec } = spec?.source ?? {};
    if (persistentVolumeName === undefined && inlineVolumeSpec === undefined)
      errors.required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
    if (persistentVolumeName !== undefined && inlineVolumeSpec !== undefined)
      errors.forbidden("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
  },
  validateUpdate({ spec }, old, errors) {
    if (!isDeepStrictEqual(spec, old.spec)) errors.invalid("spec", spec, "field is immutable");
  },
});
