import { TripodError } from "@tripod/base";

/** One condition on a field such as "spec.nodeName" or "metadata.name". */
export interface FieldRequirement {
  readonly field: string;
  readonly operator: "=" | "!=";
  readonly value: string;
}

/** Reads "a=b,c!=d" with \\ before a comma, an equals sign or a backslash of a value; "" selects everything. Throws "invalid". */
export function parseFieldSelector(text: string): FieldRequirement[] {
  const terms: string[] = [];
  let term = "";
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === "\\") {
      term += text.slice(at, at + 2);
      at += 1;
    } else if (text[at] === ",") {
      terms.push(term);
      term = "";
    } else term += text[at];
  }
  terms.push(term);
  return terms.filter((part) => part !== "").map(parseTerm);
}

function parseTerm(term: string): FieldRequirement {
  const match = /^([^=!\\]+)(==|!=|=)(.*)$/s.exec(term);
  const [, field, operator, raw = ""] = match ?? [];
  if (field === undefined || operator === undefined || /(?:^|[^\\])(?:\\\\)*=/.test(raw))
    throw new TripodError(
      "invalid",
      `invalid field selector: ${JSON.stringify(term.slice(0, 200))}; can't understand it, write FIELD=VALUE or FIELD!=VALUE`,
    );
  return { field: field.trim(), operator: operator === "!=" ? "!=" : "=", value: raw.replace(/\\([\\,=])/g, "$1") };
}

/** Whether an object meets every requirement; `valueOf` says a field's text ("" when absent). */
export const matchesFields = (requirements: readonly FieldRequirement[], valueOf: (field: string) => string): boolean =>
  requirements.every(({ field, operator, value }) => (valueOf(field) === value) === (operator === "="));

/** The text form of requirements, for a fieldSelector parameter. */
export const formatFieldSelector = (requirements: readonly FieldRequirement[]): string =>
  requirements.map(({ field, operator, value }) => `${field}${operator}${value.replace(/[\\,=]/g, "\\$&")}`).join(",");
