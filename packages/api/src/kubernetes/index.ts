export type * from "../../gen/kubernetes/types.ts";
export { type DecodedObject, decodeObject, fieldWarnings, strictDecodingError } from "./decode.ts";
export { findDuplicateFields } from "./duplicate-fields.ts";
export { formatDuration, parseDuration } from "./duration.ts";
export { type FieldRequirement, formatFieldSelector, matchesFields, parseFieldSelector } from "./field-selector.ts";
export { jsonPatch } from "./json-patch.ts";
export {
  formatLabelSelector,
  isLabelValue,
  isQualifiedName,
  type LabelOperator,
  type LabelRequirement,
  labelRequirements,
  matchesLabels,
  parseLabelSelector,
} from "./label-selector.ts";
export { mergePatch } from "./merge-patch.ts";
export {
  apiVersionOf,
  type GroupVersionKind,
  keyOf,
  type KubernetesObject,
  parseApiVersion,
  type Stored,
} from "./object.ts";
export { openApiV2, openApiV3, type OpenApiInfo } from "./openapi.ts";
export type { OpenApiResource, OpenApiSubresource } from "./openapi-paths.ts";
export { encodeOpenApiV2 } from "./openapi-v2-protobuf.ts";
export { decodeProtobuf, encodeProtobuf, protobufContentType } from "./protobuf.ts";
export {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  type ParsedQuantity,
  parseQuantity,
  type QuantityFormat,
  quantityMilliValue,
  quantityValue,
} from "./quantity.ts";
export {
  enumValues,
  type FieldSchema,
  gvkText,
  type KindSchema,
  kindSchema,
  kindsOf,
  type MessageSchema,
  messageSchema,
  schemaOf,
  type TypeSchema,
} from "./schema.ts";
export {
  applyConfiguration,
  type ApplyConflict,
  type ApplyOptions as ServerSideApplyOptions,
  type ManagerIdentity,
  trackUpdate,
} from "./server-side-apply.ts";
export { FieldSet } from "./field-set.ts";
export { strategicMergePatch } from "./strategic-merge-patch.ts";
export { formatMicroTime, formatTime, microTimeNow, parseTime, timeNow } from "./time.ts";
