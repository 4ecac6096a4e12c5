// Made by tools/gen-kubernetes.ts; do not edit.

/** A number with a unit as text, such as "250m" or "1Gi"; see parseQuantity. */
export type Quantity = string;
/** RFC 3339, whole seconds, UTC. */
export type Time = string;
/** RFC 3339, microseconds, UTC. */
export type MicroTime = string;
export type IntOrString = number | string;
/** An object of a kind that the schema does not say. */
export type RawExtension = unknown;
/** A tree of owned fields: keys f:NAME, k:{KEYS}, v:VALUE, i:INDEX and "." for the thing itself. */
export interface FieldsV1 {
  [key: string]: FieldsV1;
}
