import * as v from "valibot";
import { specRules } from "./spec-rules.ts";
import { specSchema } from "./spec-schema.ts";

export interface SpecProblem {
  /** Where, "linux.namespaces.0.type"; "" is the whole. */
  readonly path: string;
  readonly message: string;
}

/** So many are told; whoever has mended these may ask again. */
const mostProblems = 100;

/** valibot's words for what has the wrong type, or is not there, in ours. */
function messageOfIssue(issue: v.GenericIssue): string {
  if (issue.kind !== "schema" || issue.type === "picklist") return issue.message;
  if (issue.received === "undefined") return "is missing";
  return `must be ${issue.expected ?? "something else"}, is ${issue.received}`;
}

/**
 * What keeps `value`, a parsed config.json, from being a Linux container's: the rules of the specification's JSON schema, those of its
 * prose that one can decide without a machine, and a few of the kernel's that every runtime runs into. [] when nothing does; at most 100.
 * Properties that the specification does not know are let be, as it demands. Specification 1.3: config.md, config-linux.md,
 * schema/config-schema.json.
 */
export function checkRuntimeSpec(value: unknown): SpecProblem[] {
  const parsed = v.safeParse(specSchema, value);
  const problems = parsed.success
    ? specRules.flatMap((rule) => rule(parsed.output))
    : parsed.issues.map((issue) => ({ path: v.getDotPath(issue) ?? "", message: messageOfIssue(issue) }));
  return problems.slice(0, mostProblems);
}
