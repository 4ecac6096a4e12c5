import type { StatusCause } from "@tripod/api/kubernetes";

/** The most causes that are collected, and the longest value that is shown. */
const mostCauses = 100;
const longestShown = 1000;

function quote(value: unknown): string {
  const text = JSON.stringify(value ?? null);
  return text.length > longestShown ? `${text.slice(0, longestShown)}…` : text;
}

/** Collects what is wrong with an object, field by field, in the words that kubectl's users know. */
export class FieldErrors {
  readonly causes: StatusCause[] = [];

  #add(reason: string, field: string, message: string): void {
    if (this.causes.length < mostCauses) this.causes.push({ reason, field, message });
  }
  required(field: string, detail = ""): void {
    this.#add("FieldValueRequired", field, `Required value${detail === "" ? "" : `: ${detail}`}`);
  }
  invalid(field: string, value: unknown, detail: string): void {
    this.#add("FieldValueInvalid", field, `Invalid value: ${quote(value)}: ${detail}`);
  }
  notSupported(field: string, value: unknown, supported: readonly string[]): void {
    const list = supported.map((each) => JSON.stringify(each)).join(", ");
    this.#add("FieldValueNotSupported", field, `Unsupported value: ${quote(value)}: supported values: ${list}`);
  }
  duplicate(field: string, value: unknown): void {
    this.#add("FieldValueDuplicate", field, `Duplicate value: ${quote(value)}`);
  }
  notFound(field: string, value: unknown): void {
    this.#add("FieldValueNotFound", field, `Not found: ${quote(value)}`);
  }
  forbidden(field: string, detail: string): void {
    this.#add("FieldValueForbidden", field, `Forbidden: ${detail}`);
  }
  tooLong(field: string, limit: number): void {
    this.#add("FieldValueTooLong", field, `Too long: may not be more than ${limit} bytes`);
  }
}
