import type { LabelSelector } from "@tripod/api/kubernetes";
import type { FieldErrors } from "./field-errors.ts";
import { checkLabels } from "./names.ts";

/** Checks a selector of labels. */
export function checkSelector(selector: LabelSelector | undefined, field: string, errors: FieldErrors): void {
  checkLabels(selector?.matchLabels, `${field}.matchLabels`, errors);
  for (const [index, { key, operator, values = [] }] of (selector?.matchExpressions ?? []).entries()) {
    const at = `${field}.matchExpressions[${index}]`;
    checkLabels({ [key]: "" }, `${at}.key`, errors);
    if (operator === "In" || operator === "NotIn") {
      if (values.length === 0) errors.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (operator === "Exists" || operator === "DoesNotExist") {
      if (values.length > 0)
        errors.forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else errors.invalid(`${at}.operator`, operator, "not a valid selector operator");
  }
}
