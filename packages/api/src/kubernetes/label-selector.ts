import { TripodError } from "@tripod/base";
import type { LabelSelector } from "../../gen/kubernetes/types.ts";

export type LabelOperator = "=" | "!=" | "in" | "notin" | "exists" | "!" | ">" | "<";

/** One condition on a label. `values` has one entry for = != > <, none for exists and !. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: LabelOperator;
  readonly values: readonly string[];
}

const namePattern = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const prefixPattern = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

/** Whether text is a qualified name: an optional DNS prefix of at most 253 characters and "/", then a name of at most 63. */
export function isQualifiedName(text: string): boolean {
  const slash = text.indexOf("/");
  if (slash < 0) return namePattern.test(text);
  const prefix = text.slice(0, slash);
  return prefix.length <= 253 && prefixPattern.test(prefix) && namePattern.test(text.slice(slash + 1));
}

/** Whether text may be a label's value: empty, or a name of at most 63 characters. */
export const isLabelValue = (text: string): boolean => text === "" || namePattern.test(text);

const token = /\s*(==|!=|=|!|,|\(|\)|>|<|[^\s=!,()<>]+)\s*/y;

function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  for (let at = 0; at < text.length; at = token.lastIndex) {
    token.lastIndex = at;
    const match = token.exec(text);
    if (match?.[1] === undefined) throw bad(text, `unexpected ${JSON.stringify(text.slice(at, at + 10))}`);
    tokens.push(match[1]);
  }
  return tokens;
}

const bad = (text: string, why: string): TripodError =>
  new TripodError("invalid", `unable to parse label selector ${JSON.stringify(text.slice(0, 200))}: ${why}`);

/** Reads "a=b,c!=d,e in (x,y),f notin (z),g,!h,i>1"; "" selects everything. Throws "invalid". */
export function parseLabelSelector(text: string): LabelRequirement[] {
  const tokens = tokensOf(text.trim());
  const requirements: LabelRequirement[] = [];
  let at = 0;
  const word = (what: string): string => {
    const found = tokens[at];
    if (found === undefined || /^[=!,()<>]/.test(found))
      throw bad(text, `found ${JSON.stringify(found ?? "the end")}, expected ${what}`);
    at += 1;
    return found;
  };
  const value = (): string => (at >= tokens.length || tokens[at] === "," || tokens[at] === ")" ? "" : word("a value"));
  const requirement = (): LabelRequirement => {
    if (tokens[at] === "!") {
      at += 1;
      return { key: word("a label"), operator: "!", values: [] };
    }
    const key = word("a label");
    const operator = tokens[at];
    if (operator === undefined || operator === ",") return { key, operator: "exists", values: [] };
    at += 1;
    if (operator === "=" || operator === "==") return { key, operator: "=", values: [value()] };
    if (operator === "!=" || operator === ">" || operator === "<") return { key, operator, values: [value()] };
    if (operator !== "in" && operator !== "notin")
      throw bad(text, `found ${JSON.stringify(operator)}, expected an operator`);
    if (tokens[at] !== "(") throw bad(text, `expected ( after ${operator}`);
    const values: string[] = [];
    do {
      at += 1;
      values.push(value());
    } while (tokens[at] === ",");
    if (tokens[at] !== ")") throw bad(text, "expected , or )");
    at += 1;
    return { key, operator, values };
  };
  while (at < tokens.length) {
    const found = requirement();
    if (!isQualifiedName(found.key)) throw bad(text, `${JSON.stringify(found.key)} is no label name`);
    const wrong = found.values.find((entry) => !isLabelValue(entry));
    if (wrong !== undefined) throw bad(text, `${JSON.stringify(wrong)} is no label value`);
    if ((found.operator === ">" || found.operator === "<") && !/^-?\d+$/.test(found.values[0] ?? ""))
      throw bad(text, `${found.operator} needs a whole number`);
    requirements.push(found);
    if (at < tokens.length && tokens[at] !== ",") throw bad(text, `found ${JSON.stringify(tokens[at])}, expected ,`);
    at += 1;
  }
  if (tokens.at(-1) === ",") throw bad(text, "found the end, expected a label");
  return requirements;
}

/** Reads the structured form; an absent selector selects nothing (undefined), an empty one everything. Throws "invalid". */
export function labelRequirements(selector: LabelSelector | undefined): LabelRequirement[] | undefined {
  if (selector === undefined) return undefined;
  const equal = Object.entries(selector.matchLabels ?? {}).map(
    ([key, value]): LabelRequirement => ({ key, operator: "=", values: [value] }),
  );
  const expressions = (selector.matchExpressions ?? []).map(({ key, operator, values = [] }): LabelRequirement => {
    if (operator === "In" || operator === "NotIn") {
      if (values.length === 0) throw new TripodError("invalid", `label selector: ${operator} on ${key} has no values`);
      return { key, operator: operator === "In" ? "in" : "notin", values };
    }
    if (operator === "Exists") return { key, operator: "exists", values: [] };
    if (operator === "DoesNotExist") return { key, operator: "!", values: [] };
    throw new TripodError("invalid", `label selector: ${JSON.stringify(operator)} is not a valid operator`);
  });
  return [...equal, ...expressions];
}

/** Whether labels meet every requirement. As upstream: != and notin hold for a label that is absent. */
export function matchesLabels(
  requirements: readonly LabelRequirement[],
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  return requirements.every(({ key, operator, values }) => {
    const value = labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (operator) {
      case "exists":
        return value !== undefined;
      case "!":
        return value === undefined;
      case "=":
      case "in":
        return value !== undefined && values.includes(value);
      case "!=":
      case "notin":
        return value === undefined || !values.includes(value);
      case ">":
      case "<": {
        if (value === undefined || !/^-?\d+$/.test(value)) return false;
        const [have, limit] = [BigInt(value), BigInt(values[0] ?? "0")];
        return operator === ">" ? have > limit : have < limit;
      }
    }
  });
}

/** The text form of requirements, for a labelSelector parameter. */
export const formatLabelSelector = (requirements: readonly LabelRequirement[]): string =>
  requirements
    .map(({ key, operator, values }) => {
      if (operator === "exists") return key;
      if (operator === "!") return `!${key}`;
      if (operator === "in" || operator === "notin") return `${key} ${operator} (${values.join(",")})`;
      return `${key}${operator}${values[0]}`;
    })
    .join(",");
